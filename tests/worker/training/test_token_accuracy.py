"""The token accuracy of a run, on one rank and on two, against plain transformers and peft."""

from pathlib import Path

import pytest

from contracts.record import EvalRecord, MetricRecord
from contracts.run.run_dir import Placed, RunDir, write_model
from tests.tiny_model import make_rows
from tests.worker.training.harness import reference
from tests.worker.training.harness.forked import fork
from tests.worker.training.harness.run_directory import (
    DEADLINE_SECONDS,
    make_run_dir,
    records,
    run_here,
    summary_of,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

ROWS = make_rows(24)
SPEC = {
    "dataset": {"train": "ds_00000000", "eval_size": 8},
    "training": {
        "per_device_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "max_steps": 8,
        "learning_rate": 2e-2,  # so that the tiny model predicts many tokens after a few steps
    },
    "lora": {"rank": 8, "alpha": 16},
    "evaluation": {"every_steps": 4},
    "engine": {"token_budget": 128},
}


@pytest.fixture(scope="module")
def finished(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    run_dir = make_run_dir(tmp_path_factory.mktemp("accuracy"), tiny_model, ROWS, SPEC)
    assert run_here(run_dir).status == "succeeded"
    return run_dir


def steps(run_dir: RunDir) -> list[float]:
    found = [r for r in records(run_dir) if isinstance(r, MetricRecord)]
    return [r.values["token_accuracy"] for r in found if "loss" in r.values]


def evaluations(run_dir: RunDir) -> dict[int, float | None]:
    return {r.step: r.token_accuracy for r in records(run_dir) if isinstance(r, EvalRecord)}


def test_the_token_accuracy_of_evaluations_equals_that_of_plain_transformers_and_peft(
    finished: RunDir, tiny_model: Path
) -> None:
    _, held_out = reference.split(ROWS, seed=42, eval_count=8)
    before = reference.token_accuracy(tiny_model, None, held_out)
    after = reference.token_accuracy(tiny_model, finished.adapter, held_out)

    summary = summary_of(finished)

    assert summary.base_eval_token_accuracy == evaluations(finished)[0] == before
    assert summary.eval_token_accuracy == evaluations(finished)[8] == after
    assert after > before + 0.1
    assert {p.step: p.token_accuracy for p in summary.evaluations} == evaluations(finished)


def test_the_token_accuracy_of_the_first_step_is_that_of_the_base_on_the_first_batch(
    finished: RunDir, tiny_model: Path
) -> None:
    train, _ = reference.split(ROWS, seed=42, eval_count=8)
    window = [train[row] for row in reference.order("42:0", len(train))[:8]]

    assert steps(finished)[0] == reference.token_accuracy(tiny_model, None, window)
    assert steps(finished)[-1] > steps(finished)[0] + 0.1


@pytest.mark.slow
def test_the_token_accuracy_of_two_ranks_equals_that_of_one(
    finished: RunDir, tiny_model: Path, tmp_path: Path
) -> None:
    run_dir = make_run_dir(tmp_path, tiny_model, ROWS, SPEC)
    write_model(run_dir.placed, Placed(ranks=2))

    assert fork(run_dir).wait(DEADLINE_SECONDS) == 0, run_dir.output.read_text()

    # Rounding may change the order of two logits that are nearly equal.
    assert steps(run_dir) == pytest.approx(steps(finished), abs=0.02)
    assert evaluations(run_dir) == pytest.approx(evaluations(finished), abs=0.02)
