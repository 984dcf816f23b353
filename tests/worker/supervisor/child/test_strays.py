import os
import subprocess
import sys
from pathlib import Path

from worker.supervisor.child.strays import reap_strays

SLEEP = "import time; print(flush=True); time.sleep(60)"

RANKS = """
import os, signal, subprocess, sys
rank = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)", "--rank", "1"]
other = subprocess.Popen([*rank, "--parent-pid", str(os.getpid()), sys.argv[-1] + "/ranks/1"])
print(other.pid, flush=True)
signal.pause()
"""

UNUSED_PID = 2**22 + 1
"""Larger than Linux's largest process id, so no process has it."""


def _trainer(parent_pid: int, run_dir: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEP, "--parent-pid", str(parent_pid), str(run_dir)],
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()  # by now, its command line is visible
    return process


def test_only_orphans_of_this_worker_are_killed(tmp_path: Path) -> None:
    home, other = tmp_path / "mine", tmp_path / "other"
    own = _trainer(os.getpid(), home / "att_1")
    # These two look like orphans, because the parent pid on their command line does not exist.
    stray = _trainer(UNUSED_PID, home / "att_2")
    other_stray = _trainer(UNUSED_PID, other / "att_3")
    try:
        assert reap_strays(home) == [stray.pid]
        assert stray.wait(5) == -9
        assert own.poll() is None
        assert other_stray.poll() is None
    finally:
        for process in (own, stray, other_stray):
            process.kill()
            process.wait()


def test_a_rank_is_killed_only_after_the_first_rank_has_ended(tmp_path: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", RANKS, "--parent-pid", str(os.getpid()), str(tmp_path / "att_1")],
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdout is not None
    try:
        lines = {first.stdout.readline().strip() for _ in range(2)}
        other = int(next(line for line in lines if line != "up"))
        assert reap_strays(tmp_path) == []

        first.kill()
        first.wait()
        assert reap_strays(tmp_path) == [other]
        assert first.stdout.read() == "", "the pipe is closed once the other rank has ended"
    finally:
        first.kill()
        first.wait()
        first.stdout.close()


def test_a_process_that_a_live_training_has_just_forked_is_not_an_orphan(tmp_path: Path) -> None:
    code = "import os, time\nos.fork()\nprint(flush=True)\ntime.sleep(60)"
    first = subprocess.Popen(
        [sys.executable, "-c", code, "--parent-pid", str(os.getpid()), str(tmp_path / "att_1")],
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    assert first.stdout is not None
    try:
        for _ in range(2):
            first.stdout.readline()
        assert reap_strays(tmp_path) == []
        assert first.poll() is None
    finally:
        os.killpg(first.pid, 9)
        first.wait()
        first.stdout.close()
