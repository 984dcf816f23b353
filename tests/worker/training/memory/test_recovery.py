import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from contracts.failure import FailureReason
from contracts.record import LogRecord
from tests.worker.training.harness.run_directory import (
    losses,
    make_run_dir,
    records,
    run_here,
    summary_of,
)
from worker.training.failures import failure_of
from worker.training.rundir.stop import Stop

SPEC: dict[str, Any] = {
    "lora": {"rank": 8, "alpha": 16, "dropout": 0.05},
    "engine": {"token_budget": 4096},
}


OUT_OF_MEMORY_ERRORS: list[RuntimeError] = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronous"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]
"""The errors that torch raises when a GPU runs out of memory."""


class RunsOutOfMemory(Stop):
    """Simulates a GPU that runs out of memory: each of the given calls to `check`, counted from 1, raises the next error."""

    def __init__(
        self, *failing_calls: int, errors: Sequence[RuntimeError] = OUT_OF_MEMORY_ERRORS
    ) -> None:
        super().__init__(Path("/nonexistent"))
        self._failing_calls = failing_calls
        self._call = 0
        self._errors = itertools.cycle(errors)

    def check(self) -> None:
        self._call += 1
        if self._call in self._failing_calls:
            raise next(self._errors)


def warnings_of(messages: list[Any]) -> list[str]:
    return [r.message for r in messages if isinstance(r, LogRecord) and r.level == "warning"]


def test_an_update_is_repeated_with_half_the_budget_and_the_same_batch(
    tiny_model: Path, tmp_path: Path
) -> None:
    for name in ("enough", "short"):
        (tmp_path / name).mkdir()
    enough = make_run_dir(tmp_path / "enough", tiny_model, spec=SPEC | {"lora": {"rank": 8}})
    short = make_run_dir(tmp_path / "short", tiny_model, spec=SPEC | {"lora": {"rank": 8}})
    run_here(enough)

    outcome = run_here(short, RunsOutOfMemory(6, 7, 9))

    assert outcome.status == "succeeded", outcome.failure
    warnings = warnings_of(records(short))
    assert "with 2048" in warnings[0]
    assert "with 1024" in warnings[1]
    assert summary_of(short).choices["token_budget"]["value"] == 512
    expected = losses(enough)
    assert losses(short) == pytest.approx(expected, rel=1e-5)
    tokens = summary_of(enough).supervised_tokens
    assert summary_of(short).supervised_tokens == tokens


def test_dropout_is_the_same_when_an_update_is_repeated(tiny_model: Path, tmp_path: Path) -> None:
    for name in ("enough", "short"):
        (tmp_path / name).mkdir()
    # One sample per micro-batch: smaller budgets pack the same way, so dropout sees the same shapes.
    spec = SPEC | {"engine": {"token_budget": 16, "activation_checkpointing": "auto"}}
    enough = make_run_dir(tmp_path / "enough", tiny_model, spec=spec)
    short = make_run_dir(tmp_path / "short", tiny_model, spec=spec)
    run_here(enough)

    outcome = run_here(short, RunsOutOfMemory(12))

    assert outcome.status == "succeeded", outcome.failure
    assert losses(short) == losses(enough)
    assert "activations are recomputed" in warnings_of(records(short))[0]
    assert summary_of(short).choices["activation_checkpointing"]["value"] is True


@pytest.mark.parametrize("error", OUT_OF_MEMORY_ERRORS, ids=lambda error: type(error).__name__)
def test_every_torch_out_of_memory_error_is_reported_as_such(error: RuntimeError) -> None:
    assert failure_of(error).reason is FailureReason.OOM_GPU


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            torch.AcceleratorError("CUDA error: an illegal memory access"),
            FailureReason.DEVICE_FAILED,
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), FailureReason.OOM_HOST),
        (OSError("CUDA error: out of memory"), FailureReason.CRASHED),
    ],
    ids=str,
)
def test_other_errors_are_not_reported_as_out_of_gpu_memory(
    error: Exception, reason: FailureReason
) -> None:
    assert failure_of(error).reason is reason


def test_a_run_that_never_has_enough_memory_fails_as_out_of_memory(
    tiny_model: Path, tmp_path: Path
) -> None:
    run_dir = make_run_dir(tmp_path, tiny_model, spec=SPEC)

    outcome = run_here(run_dir, RunsOutOfMemory(*range(6, 40)))

    assert outcome.failure is not None
    assert outcome.failure.reason is FailureReason.OOM_GPU
    assert outcome.step == len(losses(run_dir))


def test_if_cublas_cannot_start_the_update_is_retried_before_the_device_counts_as_failed(
    tiny_model: Path, tmp_path: Path
) -> None:
    errors = [RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling cublasCreate")]
    for name in ("full", "broken"):
        (tmp_path / name).mkdir()
    full = make_run_dir(tmp_path / "full", tiny_model, spec=SPEC)
    broken = make_run_dir(tmp_path / "broken", tiny_model, spec=SPEC)

    assert run_here(full, RunsOutOfMemory(6, errors=errors)).status == "succeeded"
    failure = run_here(broken, RunsOutOfMemory(*range(6, 40), errors=errors)).failure

    assert failure is not None
    assert failure.reason is FailureReason.DEVICE_FAILED
