"""Whether a job fits a device, judged by the settings that need least among those that the training program would try."""

from typing import Any

import pytest

from app.plans.corrections import Measured, Result, settings_key
from app.plans.devices import Computation, Run, forecast_worker, least_bytes
from app.plans.memory import Load, MemoryNeed
from app.plans.rows.tokens import forecast_tokens
from app.plans.schemas import Note, WorkerForecast
from contracts.attempt import Device, WorkerInfo
from contracts.job import JobSpec
from contracts.model_facts import ModelFacts
from tests.app.plans.planned import GIB, QWEN
from tests.app.plans.test_memory import SEVEN
from tests.factories import make_spec

LOAD = Load(longest=1024, window=16_384, supervised=0.5)


def forecast(
    spec: JobSpec,
    kind: str,
    gib: float,
    facts: ModelFacts = QWEN,
    *,
    peak_ratio: float | None = None,
) -> WorkerForecast:
    assert facts.sizes is not None
    need = MemoryNeed(spec, facts, facts.sizes, LOAD)
    device = Device.model_validate({"kind": kind, "name": "d", "memory_bytes": int(gib * GIB)})
    measured = Measured(
        width=2 if kind == "cuda" else 4,
        peak_ratio=peak_ratio,
        train_seconds_per_teraflop=None,
        evaluate_seconds_per_teraflop=None,
        loading_seconds=None,
        tokenizing_seconds_per_row=None,
        saving_seconds=None,
        max_length=1024,
        tokens_per_row=50.0,
        supervised_share=0.5,
    )
    found, _ = forecast_worker(
        Computation(spec, need, LOAD, 50.0, 0),
        Run(forecast_tokens(spec, None, None, None), 100, 1),
        (WorkerInfo(worker_id="w", device=device), 1),
        [] if peak_ratio is None else [Result(settings_key(spec, 1), measured)],
        Note(code="memory_unreported"),
    )
    return found


@pytest.mark.parametrize(
    ("engine", "kind", "gib", "facts", "fits"),
    [
        ({}, "cpu", 2, QWEN, False),
        ({}, "cpu", 3, QWEN, True),
        # On a CPU, a set budget is never lowered: 24 layers keep the activations of 16,384 tokens.
        ({"token_budget": 16_384, "activation_checkpointing": False}, "cpu", 16, QWEN, False),
        ({"token_budget": 16_384, "activation_checkpointing": False}, "cpu", 128, QWEN, True),
        ({"token_budget": 16_384}, "cpu", 8, QWEN, True),  # with recomputed activations
        ({"token_budget": "auto", "activation_checkpointing": False}, "cpu", 8, QWEN, True),
        # On a GPU, the training program halves a set budget, down to the longest sample.
        ({"token_budget": 16_384, "activation_checkpointing": False}, "cuda", 8, QWEN, True),
        ({"token_budget": 16_384, "activation_checkpointing": False}, "cuda", 2, QWEN, False),
        ({"activation_checkpointing": False}, "cuda", 12, SEVEN, False),
        ({}, "cuda", 12, SEVEN, True),
        ({}, "cuda", 6, SEVEN, False),
    ],
)
def test_a_job_fits_if_the_least_that_the_training_program_would_try_fits(
    engine: dict[str, Any], kind: str, gib: float, facts: ModelFacts, fits: bool
) -> None:
    found = forecast(make_spec(engine=engine), kind, gib, facts)

    assert found.fits is fits
    assert found.least_memory_bytes is not None
    assert (found.least_memory_bytes <= gib * GIB) is fits
    peak = found.peak_memory_bytes.value
    assert peak is not None
    if fits and kind == "cuda":
        assert peak < gib * GIB, "the peak is that of the settings with which the job would run"


def test_a_named_compute_type_and_that_of_the_last_job_decide_what_fits() -> None:
    # Minima: 2.03 GiB in bfloat16, and 2.06 GiB in float32.
    named = make_spec(quantization={"compute_dtype": "float32"})

    assert forecast(make_spec(), "cpu", 2.04).fits is True
    assert forecast(named, "cpu", 2.04).fits is False
    assert forecast(make_spec(), "cpu", 2.04, peak_ratio=1.4).fits is False, "it ran in float32"


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
@pytest.mark.parametrize("ratio", [0.4, 0.8, 1.0, 1.5, 3.0])
@pytest.mark.parametrize("engine", [{}, {"token_budget": 4096, "activation_checkpointing": False}])
def test_a_job_still_fits_the_memory_in_which_it_has_run(
    kind: str, ratio: float, engine: dict[str, Any]
) -> None:
    spec = make_spec(engine=engine)
    predicted = forecast(spec, kind, 1024).peak_memory_bytes.value
    assert predicted is not None

    again = forecast(spec, kind, ratio * predicted / GIB, peak_ratio=ratio)

    assert again.fits is True


def test_a_device_gets_a_job_that_may_fit_with_another_compute_type() -> None:
    assert QWEN.sizes is not None
    spec, named = make_spec(), make_spec(quantization={"compute_dtype": "float32"})
    need = MemoryNeed(spec, QWEN, QWEN.sizes, Load(128, 2048, 0.5))

    # A CPU with AMX computes in bfloat16, and does not convert the weights.
    assert least_bytes(spec, need, "cpu") < 1.5 * GIB
    assert least_bytes(named, need, "cpu") > 1.5 * GIB
