"""The plan chooses a budget and activation checkpointing that fit the free memory, and rejects jobs that cannot fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.failure import FailureReason
from contracts.job import JobSpec
from tests.worker.training.conftest import small_spec
from worker.training.compute.device import choose_device
from worker.training.data.arrays import Sample
from worker.training.errors import TrainingError
from worker.training.memory import plan as plans
from worker.training.memory.curve import Curve
from worker.training.memory.demand import Demand, Shape
from worker.training.memory.fit import choose_for_cpu, choose_for_gpu, keep_unpacked, raised_tokens
from worker.training.memory.tracing.fake_model import Traits

GIB = 2**30
SHAPE = Shape(
    longest=256, window=4096, supervised=0.5, longest_supervised=128, most_supervised=2048
)


@pytest.fixture(scope="module")
def demand(tiny_model: Path) -> Demand:
    spec, device = small_spec(), choose_device("float32", None)
    traits = Traits.expected(tiny_model, spec, device)
    return plans.trace_demand(tiny_model, spec, device, SHAPE, traits)


def spec_with(**engine: Any) -> JobSpec:
    return small_spec(engine=engine)


def free_for(demand: Demand, tokens: int, *, recomputes: bool = False) -> int:
    """Return the free GPU memory that is just enough for a step of these tokens."""
    step = demand.step_bytes(tokens, recomputes=recomputes)
    return int((demand.resident_bytes + step + 2**28) / 0.92) + 2**20


def test_with_enough_memory_a_micro_batch_holds_a_whole_update(demand: Demand) -> None:
    choice = choose_for_gpu(demand, small_spec(), 80 * GIB)

    assert (choice.tokens, choice.recomputes, choice.is_reduced) == (4096, False, False)


def test_the_budget_is_the_largest_whose_step_fits(demand: Demand) -> None:
    choice = choose_for_gpu(demand, small_spec(), free_for(demand, 1500))

    assert 1350 <= choice.tokens <= 1600
    assert demand.step_bytes(choice.tokens, recomputes=False) <= choice.room
    assert choice.is_reduced
    assert not choice.recomputes


def test_activations_are_recomputed_if_the_longest_sample_does_not_fit_otherwise(
    demand: Demand,
) -> None:
    free = free_for(demand, 256, recomputes=True)
    assert free < free_for(demand, 256)

    choice = choose_for_gpu(demand, small_spec(), free)

    assert choice.recomputes
    assert choice.tokens >= 256
    with pytest.raises(TrainingError):
        choose_for_gpu(demand, spec_with(activation_checkpointing=False), demand.resident_bytes)


def test_a_little_more_or_less_free_memory_needs_no_new_trace(demand: Demand) -> None:
    free, more = free_for(demand, 1200), demand.step_bytes(256, recomputes=False) // 20
    first = choose_for_gpu(demand, small_spec(), free)
    before = dict(demand._points[False])

    again = choose_for_gpu(demand, small_spec(), free + more)

    assert again.tokens == first.tokens
    assert demand._points[False] == before


def test_the_base_stays_unpacked_only_if_nothing_else_changes(demand: Demand) -> None:
    """The tiny model's dequantized layers are larger than its 4-bit ones. SHAPE's largest update fills the budget."""
    needed = free_for(demand, 4096) + int(demand.unpacked_bytes / 0.92)
    enough, scarce, small = (
        keep_unpacked(demand, choose_for_gpu(demand, small_spec(), free))
        for free in (needed + 2**21, needed - 2**21, free_for(demand, 1500))
    )

    assert (enough.tokens, enough.recomputes, enough.dequantizes) == (4096, False, True)
    assert (scarce.tokens, scarce.recomputes, scarce.dequantizes) == (4096, False, False)
    assert not small.dequantizes
    assert scarce.room - enough.room == pytest.approx(
        demand.unpacked_bytes - int(4 * 2**20 * 0.92), abs=4096
    )


def test_a_requested_budget_is_kept(demand: Demand) -> None:
    assert choose_for_gpu(demand, spec_with(token_budget=777), 80 * GIB).tokens == 777
    assert choose_for_cpu(demand, spec_with(token_budget=777), 80 * GIB, 80 * GIB).tokens == 777


@pytest.mark.parametrize("kind", ["gpu", "cpu"])
def test_a_job_that_cannot_fit_is_rejected_with_the_figures(demand: Demand, kind: str) -> None:
    available = demand.resident_bytes + 1000
    in_use = demand.program_bytes - demand.mapped_bytes

    def choose() -> object:
        if kind == "gpu":
            return choose_for_gpu(demand, small_spec(), available)
        return choose_for_cpu(demand, small_spec(), 1000, in_use + available)

    with pytest.raises(TrainingError) as caught:
        choose()

    failure = caught.value.failure
    assert failure.reason is FailureReason.SPEC_REFUSED
    assert failure.evidence["model_bytes"] == demand.resident_bytes
    assert failure.evidence["available_bytes"] == demand.resident_bytes + 1000
    assert failure.evidence["step_bytes"] == demand.step_bytes(256, recomputes=True)
    assert "256 tokens" in failure.detail


@pytest.mark.parametrize(
    ("too_large", "helps", "does_not_help"),
    [
        ("base", {"smaller base model"}, "a lower training.max_length or lora.rank does not help"),
        ("adapter", {"Lower lora.rank"}, "A lower training.max_length does not help"),
        ("sample", {"Lower training.max_length", "lora.rank"}, ""),
    ],
)
@pytest.mark.parametrize("is_cuda", [True, False])
def test_a_rejected_job_is_told_what_helps_and_what_does_not(
    demand: Demand,
    monkeypatch: pytest.MonkeyPatch,
    *,
    too_large: str,
    helps: set[str],
    does_not_help: str,
    is_cuda: bool,
) -> None:
    available = {
        "base": demand.base_bytes - 1,
        "adapter": demand.resident_bytes - 1,
        "sample": demand.resident_bytes + 1,
    }[too_large]
    monkeypatch.setattr(demand, "is_cuda", is_cuda)

    with pytest.raises(TrainingError) as caught:
        choose_for_gpu(demand, small_spec(), available)

    detail = caught.value.failure.detail
    advice = detail.partition("are available. ")[2]
    assert all(each.lower() in advice.lower() for each in helps)
    assert ("Lower training.max_length" in advice) == (too_large == "sample")
    assert does_not_help in advice
    assert ("higher resources.gpus does not help" in advice) == is_cuda


def test_a_cpu_gets_a_smaller_budget_only_if_memory_is_too_little_for_the_usual_one(
    demand: Demand,
) -> None:
    usual = choose_for_cpu(demand, small_spec(), 80 * GIB, 80 * GIB)
    step = demand.step_bytes(400, recomputes=False)
    scarce = int(demand.resident_bytes + step * demand.growth) + 2**16

    choice = choose_for_cpu(demand, small_spec(), scarce, 80 * GIB)

    assert (usual.tokens, usual.is_reduced) == (512, False)
    assert 256 <= choice.tokens <= 420
    assert choice.is_reduced
    assert "too little for 512" in choice.reason


def test_a_probe_that_needs_less_memory_than_predicted_raises_the_budget(demand: Demand) -> None:
    choice = choose_for_gpu(demand, small_spec(), free_for(demand, 1000))
    predicted = demand.step_bytes(choice.tokens, recomputes=False)

    assert raised_tokens(demand, choice, predicted) == choice.tokens
    assert raised_tokens(demand, choice, predicted * 2) == choice.tokens
    assert 1.7 * choice.tokens < raised_tokens(demand, choice, predicted // 2) <= 4096


def test_a_curve_goes_through_its_points_and_finds_the_largest_size() -> None:
    curve = Curve.through({10: 1 + 20 + 300, 20: 1 + 40 + 1200, 30: 1 + 60 + 2700})

    assert [curve.at(tokens) for tokens in (10, 40)] == pytest.approx([321, 4881], abs=1)
    assert curve.largest(3 * 50 * 50 + 2 * 50 + 2, 1, 1000) == 50
    assert curve.largest(0, 7, 1000) == 7


def test_no_micro_batch_is_larger_than_an_update_or_smaller_than_the_longest_sample() -> None:
    rows = [
        Sample(np.zeros(length, dtype=np.int32), np.arange(length) > 0) for length in (5, 90, 30, 8)
    ]

    shape = Shape.of(rows, effective_batch_size=2)

    assert [shape.filled(tokens, packs=True) for tokens in (10, 100, 500)] == [90, 100, 120]
    assert shape.filled(500, packs=False) == 90
    assert sum(len(sample) for sample in shape.fill(119)) == 119
    assert max(len(sample) for sample in shape.fill(119)) <= 90


def test_a_requested_budget_that_fits_only_with_recomputed_activations_recomputes_them(
    demand: Demand,
) -> None:
    spec, free = spec_with(token_budget=2048), free_for(demand, 2048, recomputes=True)

    assert choose_for_gpu(demand, spec, free).recomputes
    assert not choose_for_gpu(demand, spec, 80 * GIB).recomputes


def test_a_job_is_not_rejected_because_another_process_temporarily_fills_its_gpu(
    demand: Demand,
) -> None:
    choice = choose_for_gpu(demand, small_spec(), demand.resident_bytes, total=80 * GIB)

    assert choice.is_scarce


def test_a_long_sample_with_a_short_answer_counts_its_own_supervised_tokens() -> None:
    samples = [
        Sample(np.zeros(1000, dtype=np.int32), np.arange(1000) >= 990),
        Sample(np.zeros(10, dtype=np.int32), np.arange(10) >= 1),
    ]

    shape = Shape.of(samples, 2)

    assert sum(sample.supervised_tokens for sample in shape.fill(shape.longest)) == 10
    assert sum(sample.supervised_tokens for sample in shape.fill(shape.window)) <= 20
