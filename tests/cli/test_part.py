import os
import signal
import sys
from pathlib import Path

from cli.part import Part, StopStep
from tests.programs.processes import MARK, wait_until_gone
from tests.programs.waiting import wait_for

DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def _part(tmp_path: Path, code: str, *steps: StopStep) -> Part:
    environment = dict(os.environ) | {MARK: str(tmp_path)}
    return Part("it", [sys.executable, "-c", code], environment, tmp_path / "it.log", steps)


def _wait_for_output(part: Part) -> None:
    wait_for(part.last_lines)


def test_a_part_runs_without_a_wrapper_in_its_own_session(tmp_path: Path) -> None:
    part = _part(tmp_path, "import os; print(os.getpid(), os.getsid(0), flush=True)")
    part.start()
    _wait_for_output(part)

    assert part.last_lines() == f"{part.pid} {part.pid}"
    part.stop(lambda: False)
    assert not part.is_running


def test_a_part_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    code = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {DEAF!r}])\n{DEAF}"
    part = _part(tmp_path, code, (signal.SIGTERM, 0.1))
    part.start()
    _wait_for_output(part)

    part.stop(lambda: False)

    assert part.exit_code == -signal.SIGKILL
    wait_until_gone(str(tmp_path), tmp_path, 5)


def test_a_forced_stop_skips_the_wait_after_sigterm(tmp_path: Path) -> None:
    part = _part(tmp_path, DEAF, (signal.SIGTERM, 60))
    part.start()
    _wait_for_output(part)

    part.stop(lambda: True)

    assert not part.is_running
