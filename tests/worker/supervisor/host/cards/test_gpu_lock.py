import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.attempt import Device
from worker.settings import Settings
from worker.supervisor.host.cards.gpu_lock import (
    DeviceBusy,
    LockDirRefused,
    find_lock_dir,
    hold_device,
    take_turn,
)

GPU = Device(kind="cuda", uuid="GPU-1")


def test_a_lock_keeps_its_slot_and_increments_its_turn(tmp_path: Path) -> None:
    with hold_device(tmp_path, "gpu") as lock:
        first, second = take_turn(lock), take_turn(lock)
    with hold_device(tmp_path, "gpu") as lock:
        third = take_turn(lock)
    with hold_device(tmp_path, "other") as lock:
        other = take_turn(lock)

    assert first.slot == second.slot == third.slot != other.slot
    assert first.turn < second.turn < third.turn


def test_a_damaged_lock_file_gets_a_new_slot(tmp_path: Path) -> None:
    with hold_device(tmp_path, "gpu") as lock:
        before = take_turn(lock)
    (tmp_path / "gpu.lock").write_text('{"slot": "x", "tu')
    with hold_device(tmp_path, "gpu") as lock:
        after = take_turn(lock)
        assert take_turn(lock).slot == after.slot

    assert after.slot != before.slot


def test_a_process_that_inherits_the_lock_keeps_the_device_busy(tmp_path: Path) -> None:
    with hold_device(tmp_path, "gpu") as lock:
        child = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=(lock,)
        )
    try:
        with pytest.raises(DeviceBusy), hold_device(tmp_path, "gpu", patience_seconds=0):
            pass
    finally:
        child.kill()
        child.wait()
    with hold_device(tmp_path, "gpu", patience_seconds=0):
        pass


def test_workers_with_different_work_directories_share_a_gpu_lock(tmp_path: Path) -> None:
    a, b = (Settings(work_dir=tmp_path / name, lock_dir=tmp_path / "locks") for name in "ab")

    assert find_lock_dir(a, GPU) == find_lock_dir(b, GPU) == tmp_path / "locks"
    assert stat.S_IMODE((tmp_path / "locks").stat().st_mode) == 0o700
    assert find_lock_dir(a, Device()) == tmp_path / "a" / "locks", (
        "a CPU lock is in its worker's own directory"
    )


def test_the_default_lock_directory_is_specific_to_the_user(tmp_path: Path) -> None:
    a, b = (Settings(work_dir=tmp_path / name) for name in "ab")

    assert a.lock_dir == b.lock_dir
    assert a.lock_dir.name.endswith(f"-{os.geteuid()}")


def test_a_lock_directory_owned_by_another_user_is_rejected(tmp_path: Path) -> None:
    others, link = tmp_path / "others", tmp_path / "link"
    others.mkdir()
    if os.geteuid() == 0:
        os.chown(others, 65534, 65534)
    else:
        others = Path("/")
    link.symlink_to(others)

    for directory in (others, link):
        with pytest.raises(LockDirRefused, match="STEPLINE_LOCK_DIR"):
            find_lock_dir(Settings(lock_dir=directory), GPU)
