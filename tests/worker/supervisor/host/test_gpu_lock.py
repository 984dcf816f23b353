import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.attempt import Device
from worker.settings import Settings
from worker.supervisor.host.gpu_lock import (
    DeviceBusy,
    LockDirRefused,
    find_lock_dir,
    hold_device,
    take_turn,
)

GPU = Device(kind="cuda", uuid="GPU-1")


def test_a_lock_has_one_name_and_counts_its_turns(tmp_path: Path) -> None:
    with hold_device(tmp_path, "gpu") as lock:
        first, second = take_turn(lock), take_turn(lock)
    with hold_device(tmp_path, "gpu") as lock:
        third = take_turn(lock)
    with hold_device(tmp_path, "other") as lock:
        other = take_turn(lock)

    assert first.slot == second.slot == third.slot != other.slot
    assert first.turn < second.turn < third.turn


def test_a_damaged_lock_gets_another_name(tmp_path: Path) -> None:
    with hold_device(tmp_path, "gpu") as lock:
        before = take_turn(lock)
    (tmp_path / "gpu.lock").write_text('{"slot": "x", "tu')
    with hold_device(tmp_path, "gpu") as lock:
        after = take_turn(lock)
        assert take_turn(lock).slot == after.slot

    assert after.slot != before.slot


def test_an_heir_of_the_lock_keeps_everyone_else_out(tmp_path: Path) -> None:
    with hold_device(tmp_path, "gpu") as lock:
        heir = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=(lock,)
        )
    try:
        with pytest.raises(DeviceBusy), hold_device(tmp_path, "gpu", patience_seconds=0):
            pass
    finally:
        heir.kill()
        heir.wait()
    with hold_device(tmp_path, "gpu", patience_seconds=0):
        pass


def test_a_gpus_lock_lies_in_one_place_for_every_work_directory(tmp_path: Path) -> None:
    a, b = (Settings(work_dir=tmp_path / name, lock_dir=tmp_path / "locks") for name in "ab")

    assert find_lock_dir(a, GPU) == find_lock_dir(b, GPU) == tmp_path / "locks"
    assert stat.S_IMODE((tmp_path / "locks").stat().st_mode) == 0o700
    assert find_lock_dir(a, Device()) == tmp_path / "a" / "locks", "a CPU's is its worker's own"


def test_without_a_setting_it_is_this_users_own_place(tmp_path: Path) -> None:
    a, b = (Settings(work_dir=tmp_path / name) for name in "ab")

    assert a.lock_dir == b.lock_dir
    assert a.lock_dir.name.endswith(f"-{os.geteuid()}")


def test_another_users_directory_of_locks_is_refused(tmp_path: Path) -> None:
    others, link = tmp_path / "others", tmp_path / "link"
    others.mkdir()
    if os.geteuid() == 0:
        os.chown(others, 65534, 65534)
    else:
        others = Path("/")
    link.symlink_to(others)

    for place in (others, link):
        with pytest.raises(LockDirRefused, match="STEPLINE_LOCK_DIR"):
            find_lock_dir(Settings(lock_dir=place), GPU)
