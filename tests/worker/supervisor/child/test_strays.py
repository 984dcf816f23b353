import os
import subprocess
import sys
from pathlib import Path

from worker.supervisor.child.strays import reap_strays

SLEEP = "import time; print(flush=True); time.sleep(60)"

NOBODY = 2**22 + 1
"""Larger than Linux's largest process id, so no process has it."""


def _trainer(parent_pid: int, run_dir: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEP, "--parent-pid", str(parent_pid), str(run_dir)],
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()  # the kernel shows its command line now
    return process


def test_only_orphans_of_this_worker_are_killed(tmp_path: Path) -> None:
    home, other = tmp_path / "mine", tmp_path / "other"
    own = _trainer(os.getpid(), home / "att_1")
    # The supervisor in their path is gone, although this process started them: they look like orphans.
    stray = _trainer(NOBODY, home / "att_2")
    foreign = _trainer(NOBODY, other / "att_3")
    try:
        assert reap_strays(home) == [stray.pid]
        assert stray.wait(5) == -9
        assert own.poll() is None
        assert foreign.poll() is None
    finally:
        for process in (own, stray, foreign):
            process.kill()
            process.wait()
