"""Runs that follow a memory plan, and runs whose memory or model cannot be traced."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.record import LogRecord
from contracts.run.run_dir import RunDir
from tests.worker.training.conftest import small_spec
from tests.worker.training.harness.run_directory import (
    losses,
    make_run_dir,
    records,
    run_here,
    summary_of,
)
from worker.training.compute.device import choose_device
from worker.training.data.arrays import Sample
from worker.training.memory import plan as plans
from worker.training.memory.plan import Planner
from worker.training.memory.tracing import trace as traces
from worker.training.memory.tracing.fake_model import Traits
from worker.training.memory.tracing.trace import Trace
from worker.training.model.trainable import TrainableModel

GIB = 2**30


def planner(model: Path, ranks: int = 1) -> Planner:
    """Return the planner of a job with a single sample per update."""
    sample = Sample(np.zeros(100, dtype=np.int32), np.arange(100) > 50)
    spec = small_spec(training={"per_device_batch_size": 1, "gradient_accumulation_steps": 1})
    return Planner(model, spec, choose_device("float32", None), [sample], ranks)


def count_calls(monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """Count the calls of a function of trace.py."""
    called, original = [], getattr(traces, name)

    def call(*arguments: Any) -> Any:
        called.append(name)
        return original(*arguments)

    monkeypatch.setattr(traces, name, call)
    return called


def log_of(run_dir: RunDir) -> list[str]:
    return [record.message for record in records(run_dir) if isinstance(record, LogRecord)]


def run_planned(path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, **spec: Any) -> Any:
    monkeypatch.setattr(plans, "_SMALL_MODEL", 0)
    path.mkdir()
    run_dir = make_run_dir(path, model, spec=spec)
    outcome = run_here(run_dir)
    assert outcome.status == "succeeded", outcome.failure
    return run_dir


def test_a_planned_run_reports_its_prediction_and_has_the_same_losses(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unplanned").mkdir()
    unplanned = make_run_dir(tmp_path / "unplanned", tiny_model)
    run_here(unplanned)

    planned = run_planned(tmp_path / "planned", tiny_model, monkeypatch)

    summary = summary_of(planned)
    assert losses(planned) == losses(unplanned)
    assert summary.predicted_memory_bytes is not None
    assert summary.choices["memory_plan"]["value"] is True
    assert summary.choices["memory_plan"]["seconds"] > 0
    assert summary.choices["token_budget"]["value"] == 512
    assert summary_of(unplanned).predicted_memory_bytes is None
    assert "not traced" in summary_of(unplanned).choices["memory_plan"]["reason"]


def test_a_step_that_cannot_be_traced_is_estimated_and_the_summary_says_why(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> int:
        raise NotImplementedError("no fake kernel\nfor this operation")

    monkeypatch.setattr(Trace, "step_bytes", fail)

    run_dir = run_planned(tmp_path / "run", tiny_model, monkeypatch)

    summary = summary_of(run_dir)
    assert summary.predicted_memory_bytes is None
    assert summary.choices["token_budget"]["value"] == 512
    plan = summary.choices["memory_plan"]
    assert plan["value"] is False
    assert "NotImplementedError: no fake kernel)" in plan["reason"]
    assert any("no memory plan: the step could not be traced" in line for line in log_of(run_dir))


def test_running_out_of_host_memory_while_tracing_is_not_treated_as_an_untraceable_step(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> int:
        raise MemoryError

    monkeypatch.setattr(plans, "_SMALL_MODEL", 0)
    monkeypatch.setattr(Trace, "step_bytes", fail)

    with pytest.raises(MemoryError):
        planner(tiny_model).plan()


def test_unreadable_memory_is_not_treated_as_an_untraceable_step(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(plans, "_SMALL_MODEL", 0)
    monkeypatch.setattr(plans, "free_host_bytes", fail)

    with pytest.raises(RuntimeError, match="illegal memory access"):
        planner(tiny_model).plan()


def test_ranks_on_one_host_share_its_memory(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "_SMALL_MODEL", 0)
    monkeypatch.setattr(plans, "free_host_bytes", lambda: 3 * GIB)

    rooms = [planner(tiny_model, ranks).plan().choice for ranks in (1, 3)]

    assert rooms[0] is not None
    assert rooms[1] is not None
    assert rooms[0].room - rooms[1].room == pytest.approx(2 * GIB / 1.5, abs=2)


def test_a_model_that_differs_from_the_expected_one_is_planned_with_the_same_fake_model(
    tiny_model: Path, load: Callable[..., TrainableModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "_SMALL_MODEL", 0)
    plan_of, built = planner(tiny_model), count_calls(monkeypatch, "build_fake_model")
    plan = plan_of.plan()
    assert plan.demand is not None
    trace = plan.demand._trace
    assert trace is not None
    before = trace.steps

    # A single sample needs no mask, and the longest one fills the window of this planner.
    adjusted = plan_of.adjust(plan, replace(load(), attention="sdpa", packs=False))

    assert len(built) == 1
    assert adjusted.traits == Traits("sdpa", packs=False, plain_head=True)
    assert adjusted.demand is not None
    assert adjusted.demand.program_bytes == plan.demand.program_bytes
    assert trace.steps == before


@pytest.mark.slow
def test_scarce_memory_lowers_the_budget_of_a_run_and_is_logged(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed: list[int] = []

    def free() -> int:
        return needed[0] if needed else 80 * GIB

    monkeypatch.setattr(plans, "free_host_bytes", free)
    enough = summary_of(run_planned(tmp_path / "enough", tiny_model, monkeypatch))
    needed.append(2 * 2**20)

    run_dir = run_planned(tmp_path / "scarce", tiny_model, monkeypatch)

    summary = summary_of(run_dir)
    assert summary.choices["token_budget"]["value"] < enough.choices["token_budget"]["value"]
    assert any(
        isinstance(record, LogRecord) and "memory is scarce" in record.message
        for record in records(run_dir)
    )
