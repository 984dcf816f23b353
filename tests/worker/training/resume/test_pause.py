"""A pause saves what a resume needs; a cancel saves nothing."""

from pathlib import Path

from contracts.attempt import Wanted
from contracts.run.run_dir import Control, write_model
from tests.worker.training.harness.run_directory import (
    make_run_dir,
    run_here,
)
from tests.worker.training.resume.resuming import (
    ROWS,
    StopAt,
    spec_with,
)


def test_a_pause_saves_a_checkpoint_and_a_cancel_does_not(tiny_model: Path, tmp_path: Path) -> None:
    for status in ("paused", "cancelled"):
        (tmp_path / status).mkdir()
        spec = spec_with(0.0) | {"checkpoint": {"every_steps": 1000}}
        run_dir = make_run_dir(tmp_path / status, tiny_model, ROWS, spec)

        assert run_here(run_dir, StopAt(run_dir, 23, status)).status == status

        assert run_dir.checkpoints.exists() == (status == "paused")


def test_a_pause_before_the_first_step_needs_no_checkpoint(
    tiny_model: Path, tmp_path: Path
) -> None:
    run_dir = make_run_dir(tmp_path, tiny_model, ROWS, spec_with(0.0))
    write_model(run_dir.control, Control(wanted=Wanted.PAUSE))

    outcome = run_here(run_dir)

    assert (outcome.status, outcome.step) == ("paused", 0)
    assert not run_dir.checkpoints.exists()
