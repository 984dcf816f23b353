"""Runs that stop at a chosen moment, and attempts that resume them."""

from pathlib import Path
from typing import Any

from contracts.job import Phase
from contracts.record import PhaseRecord
from contracts.run.run_dir import Placed, RunDir, write_model
from tests.tiny_model import make_rows
from tests.worker.training.harness.run_directory import make_run_dir, records, run_here
from worker.training.errors import StopRequested
from worker.training.rundir.stop import Stop

ROWS = make_rows(17)


def spec_with(dropout: float, every_steps: int = 2) -> dict[str, Any]:
    return {
        "dataset": {"train": "ds_00000000", "eval_size": 3},
        "training": {"per_device_batch_size": 2, "gradient_accumulation_steps": 2, "epochs": 3},
        "lora": {"rank": 8, "alpha": 16, "dropout": dropout},
        "evaluation": {"every_steps": 3},
        "checkpoint": {"every_steps": every_steps},
        "engine": {"token_budget": 128},
    }


def share_tokens(run_dir: RunDir) -> None:
    """Make a run share the token cache of the other runs in the same test."""
    cache = run_dir.path.parent / "token_cache"
    write_model(run_dir.placed, Placed(token_cache=cache, token_cache_bytes=2**30))


def resumed_from(
    killed: RunDir, path: Path, model: Path, dropout: float, every_steps: int = 2
) -> RunDir:
    """Create the next attempt, with the checkpoints of the previous one."""
    path.mkdir()
    run_dir = make_run_dir(path, model, ROWS, spec_with(dropout, every_steps))
    run_dir.resume.symlink_to(killed.checkpoints)
    share_tokens(run_dir)
    return run_dir


class StopAt(Stop):
    """Requests a stop in the middle of a step, at the stop check with this number.

    The checks while rows are tokenized do not count: they are made at intervals, so there are more of them on a slow machine.
    """

    def __init__(self, run_dir: RunDir, looks: int, status: Any = "interrupted") -> None:
        super().__init__(Path("/nonexistent"))
        self._run_dir = run_dir
        self._looks = looks
        self._status = status

    def check(self) -> None:
        phases = [r.phase for r in records(self._run_dir) if isinstance(r, PhaseRecord)]
        if phases[-1] is Phase.TOKENIZING:
            return
        self._looks -= 1
        if self._looks == 0:
            raise StopRequested(self._status)


def interrupted(path: Path, model: Path, dropout: float, looks: int = 23) -> RunDir:
    path.mkdir()
    run_dir = make_run_dir(path, model, ROWS, spec_with(dropout))
    share_tokens(run_dir)
    assert run_here(run_dir, StopAt(run_dir, looks)).status == "interrupted"
    return run_dir
