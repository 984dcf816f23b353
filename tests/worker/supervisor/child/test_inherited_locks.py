"""The training process inherits the locks of its cards, and each card stays locked until its last holder has ended."""

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from contracts.attempt import Device
from contracts.run.run_dir import RunDir
from tests.worker.supervisor.builders import hold
from worker.supervisor.child.process import LOCK_FDS, start_child
from worker.supervisor.host.cards.gpu_lock import DeviceBusy, hold_device
from worker.training.ranks import others


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    path = tmp_path / "att_1"
    path.mkdir()
    return RunDir(path)


def test_the_device_lock_is_held_as_long_as_the_child_runs(run_dir: RunDir, tmp_path: Path) -> None:
    with hold_device(tmp_path, "gpu") as descriptor:
        sleep = ("-c", "import time; time.sleep(60)")
        process = start_child(run_dir, [hold(descriptor)], os.environ, sleep)
    with pytest.raises(DeviceBusy), hold_device(tmp_path, "gpu", patience_seconds=0.2):
        pass

    process.kill()
    assert process.wait(5)
    with hold_device(tmp_path, "gpu", patience_seconds=1):
        pass


def test_a_child_on_several_gpus_sees_them_in_order_and_holds_each_lock(
    run_dir: RunDir, tmp_path: Path
) -> None:
    names = ("GPU-2", "GPU-1", "GPU-3")
    code = "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); time.sleep(60)"
    with ExitStack() as held:
        cards = [
            hold(held.enter_context(hold_device(tmp_path, name)), Device(kind="cuda", uuid=name))
            for name in names
        ]
        process = start_child(run_dir, cards, os.environ, program=("-c", code))
    while not run_dir.output.read_text():
        assert not process.wait(0.02)

    assert run_dir.output.read_text() == "GPU-2,GPU-1,GPU-3\n"
    for name in names:
        with pytest.raises(DeviceBusy), hold_device(tmp_path, name, patience_seconds=0):
            pass
    process.kill()
    assert process.wait(5)
    for name in names:
        with hold_device(tmp_path, name, patience_seconds=5):
            pass


def test_the_locks_stay_held_until_the_last_process_that_inherited_them_has_ended(
    run_dir: RunDir, tmp_path: Path
) -> None:
    # Simulates a first rank that passes the locks on to another one, which leaves the group and therefore outlives it.
    assert LOCK_FDS == others.LOCK_FDS, "the training program reads the same variable"
    rank = "import time; print('up', flush=True); time.sleep(60)"
    code = (
        "import os, subprocess, sys, time\n"
        "locks = [int(number) for number in os.environ['STEPLINE_LOCK_FDS'].split(',')]\n"
        f"other = [sys.executable, '-c', {rank!r}]\n"
        "process = subprocess.Popen(other, pass_fds=locks, start_new_session=True)\n"
        "print(process.pid, flush=True)\n"
        "time.sleep(60)"
    )
    with hold_device(tmp_path, "a") as first, hold_device(tmp_path, "b") as second:
        process = start_child(run_dir, [hold(first), hold(second)], os.environ, ("-c", code))
    while len(run_dir.output.read_text().splitlines()) < 2:
        assert not process.wait(0.02)
    other = next(int(line) for line in run_dir.output.read_text().split() if line != "up")

    process.kill()
    assert process.wait(5)
    for name in ("a", "b"):
        with pytest.raises(DeviceBusy), hold_device(tmp_path, name, patience_seconds=0.2):
            pass

    os.kill(other, signal.SIGKILL)
    for name in ("a", "b"):
        with hold_device(tmp_path, name, patience_seconds=5):
            pass
