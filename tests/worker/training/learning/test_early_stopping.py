from pathlib import Path

import pytest

from contracts.job import EarlyStopping
from contracts.record import EvalRecord, LogRecord
from contracts.run.run_dir import RunDir
from contracts.summary import EvalPoint
from tests.tiny_model import make_rows
from tests.worker.training.harness.run_directory import (
    make_run_dir,
    outcome_of,
    records,
    run_here,
    summary_of,
)
from tests.worker.training.resume.resuming import StopAt
from worker.training.errors import StopRequested
from worker.training.learning.early_stopping import is_stale
from worker.training.rundir.checkpoint import find_newest, load
from worker.training.rundir.stop import Stop


def points(*losses: float) -> list[EvalPoint]:
    return [EvalPoint(step=step, loss=loss) for step, loss in enumerate(losses)]


@pytest.mark.parametrize(
    ("losses", "stale"),
    [
        ((), False),
        ((3.0, 2.0, 1.0), False),
        ((3.0, 2.0, 2.0), False),
        ((3.0, 2.0, 2.0, 2.1), True),
        ((3.0, 2.0, 2.05, 1.95), True),
        ((3.0, 2.0, 2.05, 1.85), False),
    ],
)
def test_a_run_ends_after_two_evaluations_that_do_not_improve_by_at_least_min_delta(
    losses: tuple[float, ...], stale: bool
) -> None:
    assert is_stale(points(*losses), EarlyStopping(patience=2, min_delta=0.1)) is stale
    assert not is_stale(points(*losses), None)


SPEC = {
    "training": {
        "per_device_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "epochs": 20,
        "learning_rate": 0.3,  # much too high: the loss rises
        "early_stopping": {"patience": 3},
    },
    "evaluation": {"every_steps": 2},
    "checkpoint": {"every_steps": 4},
}


@pytest.fixture(scope="module")
def straight(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """The uninterrupted run, which ends early."""
    run_dir = make_run_dir(tmp_path_factory.mktemp("straight"), tiny_model, make_rows(37), SPEC)
    assert run_here(run_dir).status == "succeeded"
    return run_dir


def test_a_run_that_gets_worse_ends_early_and_keeps_its_best_adapter(straight: RunDir) -> None:
    outcome = outcome_of(straight)
    summary = summary_of(straight)
    best = min(summary.evaluations, key=lambda point: point.loss)
    assert outcome.step < 80
    assert outcome.step == best.step + 6
    assert summary.eval_loss == best.loss
    assert summary.choices["adapter"]["value"] == best.step
    assert any(
        "lowest eval loss" in r.message for r in records(straight) if isinstance(r, LogRecord)
    )


class StopDuringEvaluationOfTheBest(Stop):
    """Requests a stop during the evaluation of the restored best adapter."""

    def __init__(self, run_dir: RunDir) -> None:
        super().__init__(run_dir.control)
        self._run_dir = run_dir

    def check(self) -> None:
        logs = [r for r in records(self._run_dir) if isinstance(r, LogRecord)]
        if any("lowest eval loss" in log.message for log in logs):
            raise StopRequested("interrupted")


def test_a_stop_while_the_best_adapter_is_evaluated_keeps_the_last_steps_checkpoint(
    straight: RunDir, tiny_model: Path, tmp_path: Path
) -> None:
    runs = {}
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        runs[name] = make_run_dir(tmp_path / name, tiny_model, make_rows(37), SPEC)
    outcome = run_here(runs["first"], StopDuringEvaluationOfTheBest(runs["first"]))

    assert outcome.status == "interrupted"
    newest = find_newest(runs["first"].checkpoints)
    assert newest is not None
    saved = load(newest)
    assert saved.state.step == outcome.step == outcome_of(straight).step
    assert saved.state.best_step != saved.state.step
    name = next(n.removeprefix("best.") for n in saved.tensors if n.startswith("best."))
    assert not saved.tensors[f"adapter.{name}"].equal(saved.tensors[f"best.{name}"])
    runs["second"].resume.symlink_to(runs["first"].checkpoints)
    assert run_here(runs["second"]).status == "succeeded"
    adapter = "adapter_model.safetensors"
    expected = (straight.adapter / adapter).read_bytes()
    assert (runs["second"].adapter / adapter).read_bytes() == expected


@pytest.mark.slow
def test_the_best_adapter_is_kept_across_a_resume(
    straight: RunDir, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "first").mkdir()
    first = make_run_dir(tmp_path / "first", tiny_model, make_rows(37), SPEC)
    (tmp_path / "second").mkdir()
    second = make_run_dir(tmp_path / "second", tiny_model, make_rows(37), SPEC)
    second.resume.symlink_to(first.checkpoints)

    assert run_here(first, StopAt(first, 17)).status == "interrupted"
    assert any(isinstance(r, EvalRecord) and r.step > 0 for r in records(first))
    assert run_here(second).status == "succeeded"

    assert summary_of(second).eval_loss == summary_of(straight).eval_loss
    assert summary_of(second).choices["adapter"] == summary_of(straight).choices["adapter"]
