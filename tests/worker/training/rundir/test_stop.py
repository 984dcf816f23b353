import os
import signal
from pathlib import Path

import pytest

from contracts.attempt import Wanted
from contracts.run_dir import Control, write_model
from worker.training.errors import StopRequested
from worker.training.rundir.stop import Stop


def test_nothing_happens_while_nothing_is_wanted(tmp_path: Path) -> None:
    stop = Stop(tmp_path / "control.json")
    stop.check()

    write_model(tmp_path / "control.json", Control())

    stop.check()


def test_half_a_control_file_is_no_wish(tmp_path: Path) -> None:
    (tmp_path / "control.json").write_text('{"wanted": "can')

    Stop(tmp_path / "control.json").check()


def test_cancel_outranks_sigterm(tmp_path: Path) -> None:
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
