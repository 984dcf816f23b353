import subprocess
import sys
from pathlib import Path

import pytest

from worker.supervisor.gpu_lock import DeviceBusy, hold_device, take_turn


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
