import os
import signal
from pathlib import Path

import pytest

from contracts.attempt import Wanted
from contracts.run.run_dir import Control, write_model
from worker.training.errors import StopRequested
from worker.training.rundir.stop import Stop


def test_a_run_continues_while_no_stop_is_requested(tmp_path: Path) -> None:
    stop = Stop(tmp_path / "control.json")
    stop.check()

    write_model(tmp_path / "control.json", Control())

    stop.check()


def test_an_incomplete_control_file_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "control.json").write_text('{"wanted": "can')

    Stop(tmp_path / "control.json").check()


def test_a_cancel_takes_precedence_over_sigterm(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    stop = Stop(tmp_path / "control.json")
    try:
        stop.listen()
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(StopRequested) as interrupted:
            stop.check()

        write_model(tmp_path / "control.json", Control(wanted=Wanted.CANCEL))
        with pytest.raises(StopRequested) as cancelled:
            stop.check()
    finally:
        signal.signal(signal.SIGTERM, before)

    assert interrupted.value.status == "interrupted"
    assert cancelled.value.status == "cancelled"
