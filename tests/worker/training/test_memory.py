from pathlib import Path
from typing import Any

import pytest
import torch

from contracts.failure import FailureReason
from contracts.record import LogRecord
from tests.worker.training.run_directory import lay_down, losses, records, run_here, summary_of
from worker.training.stop import Stop

SPEC: dict[str, Any] = {
    "lora": {"rank": 8, "alpha": 16, "dropout": 0.05},
    "engine": {"token_budget": 4096},
}


class RunsOutOfMemory(Stop):
    """Plays a GPU whose memory runs out, in the middle of an update, at chosen looks (from 1)."""

    def __init__(self, *looks: int) -> None:
        super().__init__(Path("/nonexistent"))
        self._looks = looks
        self._look = 0

    def check(self) -> None:
        self._look += 1
        if self._look in self._looks:
            raise torch.OutOfMemoryError("CUDA out of memory. (a test)")


def warnings_of(messages: list[Any]) -> list[str]:
    return [r.message for r in messages if isinstance(r, LogRecord) and r.level == "warning"]


def test_update_is_begun_again_whole_with_half_the_budget_and_the_same_batch(
    tiny_model: Path, tmp_path: Path
) -> None:
    for name in ("enough", "short"):
        (tmp_path / name).mkdir()
    enough = lay_down(tmp_path / "enough", tiny_model, spec=SPEC | {"lora": {"rank": 8}})
    short = lay_down(tmp_path / "short", tiny_model, spec=SPEC | {"lora": {"rank": 8}})
    run_here(enough)

    outcome = run_here(short, RunsOutOfMemory(6, 7, 9))

    assert outcome.status == "succeeded", outcome.failure
    told = warnings_of(records(short))
    assert "from here on 2048" in told[0]
    assert "from here on 1024" in told[1]
    assert summary_of(short).choices["token_budget"]["value"] == 512
    expected = losses(enough)
    assert losses(short) == pytest.approx(expected, rel=1e-5)
    tokens = summary_of(enough).supervised_tokens
    assert summary_of(short).supervised_tokens == tokens


def test_dropout_is_the_same_when_an_update_is_begun_again(
    tiny_model: Path, tmp_path: Path
) -> None:
    for name in ("enough", "short"):
        (tmp_path / name).mkdir()
    # One sample a micro-batch: smaller budgets pack alike, so that dropout sees the same shapes.
    spec = SPEC | {"engine": {"token_budget": 16, "activation_checkpointing": "auto"}}
    enough = lay_down(tmp_path / "enough", tiny_model, spec=spec)
    short = lay_down(tmp_path / "short", tiny_model, spec=spec)
    run_here(enough)

    outcome = run_here(short, RunsOutOfMemory(12))

    assert outcome.status == "succeeded", outcome.failure
    assert losses(short) == losses(enough)
    assert "activations are recomputed" in warnings_of(records(short))[0]
    assert summary_of(short).choices["activation_checkpointing"]["value"] is True


def test_memory_that_is_never_enough_fails_as_what_it_is(tiny_model: Path, tmp_path: Path) -> None:
    run_dir = lay_down(tmp_path, tiny_model, spec=SPEC)

    outcome = run_here(run_dir, RunsOutOfMemory(*range(6, 40)))

    assert outcome.failure is not None
    assert outcome.failure.reason is FailureReason.OOM_GPU
    assert outcome.step == len(losses(run_dir))
