import os
import subprocess
import sys
from pathlib import Path

from worker.supervisor.child.strays import reap_strays

SLEEP = "import time; time.sleep(60)"

NOBODY = 2**22 + 1
"""No process has a number above Linux's largest."""


def _trainer(parent_pid: int, run_dir: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", SLEEP, "--parent-pid", str(parent_pid), str(run_dir)],
        start_new_session=True,
    )


def test_only_orphans_of_this_worker_are_killed(tmp_path: Path) -> None:
    home, other = tmp_path / "mine", tmp_path / "other"
    own = _trainer(os.getpid(), home / "att_1")
    # Their supervisor by name is gone, by fact it is us: what an orphan looks like.
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
