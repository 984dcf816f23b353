import os
import subprocess
import sys
from pathlib import Path

from worker.supervisor.child.strays import reap_strays

SLEEP = "import time; print(flush=True); time.sleep(60)"

UNUSED_PID = 2**22 + 1
"""Larger than Linux's largest process id, so no process has it."""


def _trainer(
    parent_pid: int, run_dir: Path, *, leads_group: bool = True
) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEP, "--parent-pid", str(parent_pid), str(run_dir)],
        start_new_session=leads_group,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()  # its command line is visible now
    return process


def test_only_orphans_of_this_worker_are_killed(tmp_path: Path) -> None:
    home, other = tmp_path / "mine", tmp_path / "other"
    own = _trainer(os.getpid(), home / "att_1")
    # These two look like orphans, because the parent pid on their command line does not exist.
    stray = _trainer(UNUSED_PID, home / "att_2")
    stray_rank = _trainer(UNUSED_PID, home / "att_2" / "ranks" / "1", leads_group=False)
    other_stray = _trainer(UNUSED_PID, other / "att_3")
    try:
        assert sorted(reap_strays(home)) == sorted([stray.pid, stray_rank.pid])
        assert stray.wait(5) == -9
        assert stray_rank.wait(5) == -9
        assert own.poll() is None
        assert other_stray.poll() is None
    finally:
        for process in (own, stray, stray_rank, other_stray):
            process.kill()
            process.wait()
