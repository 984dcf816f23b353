import math
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from contracts.failure import Failure, FailureReason
from tests.tiny_model import make_rows
from tests.worker.training.harness.run_directory import losses, make_run_dir, run_here
from tests.worker.training.resume.resuming import StopAt
from worker.training.errors import TrainingError
from worker.training.learning.watchdog import FROZEN_STEPS, ZERO_STEPS, Watchdog
from worker.training.rundir.checkpoint import Checkpoints, find_newest, load


@pytest.mark.parametrize(("loss", "norm"), [(math.nan, 1.0), (1.0, math.inf), (math.inf, 1.0)])
def test_a_non_finite_loss_or_gradient_ends_the_run_immediately(loss: float, norm: float) -> None:
    with pytest.raises(TrainingError) as caught:
        Watchdog([torch.zeros(1)]).check_gradient(7, loss, norm)

    assert caught.value.failure.reason is FailureReason.LOSS_NOT_FINITE
    assert caught.value.failure.step == 7
    assert caught.value.failure.evidence == {"loss": str(loss), "grad_norm": str(norm)}


def test_only_many_consecutive_zero_losses_end_the_run() -> None:
    watchdog = Watchdog([torch.zeros(1)])
    for step in range(1, ZERO_STEPS):
        watchdog.check_gradient(step, 0.0, 0.0)
    watchdog.check_gradient(ZERO_STEPS, 0.1, 1.0)
    for step in range(ZERO_STEPS + 1, 2 * ZERO_STEPS):
        watchdog.check_gradient(step, 0.0, 0.0)

    with pytest.raises(TrainingError) as caught:
        watchdog.check_gradient(2 * ZERO_STEPS, 0.0, 0.0)

    assert caught.value.failure.reason is FailureReason.LOSS_ZERO


def test_an_adapter_without_gradients_is_detected_even_if_weight_decay_changes_it() -> None:
    adapter = [torch.ones(10)]
    watchdog = Watchdog(adapter)

    for step in range(1, FROZEN_STEPS):
        watchdog.check_gradient(step, 1.5, 0.0)
        adapter[0].mul_(0.99)
        watchdog.check_adapter(step)

    with pytest.raises(TrainingError) as caught:
        watchdog.check_gradient(FROZEN_STEPS, 1.5, 0.0)

    assert caught.value.failure.reason is FailureReason.ADAPTER_FROZEN
    assert "gradient" in caught.value.failure.detail


def test_an_adapter_with_one_changed_weight_is_not_frozen() -> None:
    adapter = [torch.zeros(10), torch.zeros(10)]
    failures: list[Failure] = []
    watchdog = Watchdog(adapter)
    watchdog.watch(failures.append, limit_seconds=30.0).set()
    adapter[1][3] = 1e-30

    for step in range(1, FROZEN_STEPS + 2):
        watchdog.check_adapter(step)


CHANGES_NOTHING = {
    "training": {
        "per_device_batch_size": 2,
        "gradient_accumulation_steps": 1,
        "epochs": 3,
        "learning_rate": 1e-60,
    },
    "evaluation": {"every_steps": 1000},
}


def test_a_learning_rate_too_small_to_change_a_float32_weight_is_detected(
    tiny_model: Path, tmp_path: Path
) -> None:
    run_dir = make_run_dir(tmp_path, tiny_model, make_rows(37), CHANGES_NOTHING)

    outcome = run_here(run_dir)

    assert outcome.failure is not None
    assert outcome.failure.reason is FailureReason.ADAPTER_FROZEN
    assert outcome.failure.step == FROZEN_STEPS


def test_an_adapter_that_does_not_change_after_a_resume_is_detected(
    tiny_model: Path, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    first = make_run_dir(tmp_path / "first", tiny_model, make_rows(37), CHANGES_NOTHING)
    second = make_run_dir(tmp_path / "second", tiny_model, make_rows(37), CHANGES_NOTHING)
    assert run_here(first, StopAt(first, 8)).status == "interrupted"
    newest = find_newest(first.checkpoints)
    assert newest is not None
    snapshot = load(newest)
    for name, tensor in snapshot.tensors.items():
        if name.startswith("adapter."):
            tensor.add_(0.01)  # as if the adapter had learned something
    Checkpoints(second.resume, keep=1).save(snapshot)

    outcome = run_here(second)

    assert outcome.failure is not None
    assert outcome.failure.reason is FailureReason.ADAPTER_FROZEN
    assert outcome.failure.step == snapshot.state.step + FROZEN_STEPS


def test_a_run_that_diverges_stops_and_keeps_its_last_good_checkpoint(
    tiny_model: Path, tmp_path: Path
) -> None:
    spec = {
        "training": {
            "per_device_batch_size": 4,
            "gradient_accumulation_steps": 1,
            "epochs": 50,
            "learning_rate": 1.0,
            "weight_decay": 0.0,
            "lr_scheduler": "constant",
        },
        "lora": {"rank": 8, "alpha": 65536},
        "evaluation": {"every_steps": 1000},
        "checkpoint": {"every_steps": 1},
    }
    run_dir = make_run_dir(tmp_path, tiny_model, make_rows(37), spec)

    outcome = run_here(run_dir)

    assert outcome.failure is not None
    assert outcome.failure.reason is FailureReason.LOSS_NOT_FINITE
    assert outcome.failure.step == outcome.step + 1
    assert all(math.isfinite(loss) for loss in losses(run_dir).values())
    newest = find_newest(run_dir.checkpoints)
    assert newest is not None
    tensors = load_file(newest / "tensors.safetensors")
    assert all(t.isfinite().all() for name, t in tensors.items() if name.startswith("adapter."))


def test_a_hang_is_reported_with_the_current_position_in_the_program() -> None:
    failures: list[Failure] = []
    seen = threading.Event()

    def on_hang(failure: Failure) -> None:
        failures.append(failure)
        seen.set()

    Watchdog([torch.zeros(1)]).watch(on_hang, limit_seconds=0.05)

    assert seen.wait(10)
    assert failures[0].reason is FailureReason.NO_PROGRESS
    assert "seen.wait(10)" in failures[0].detail


def test_the_watchdog_reports_no_hang_while_the_run_makes_progress() -> None:
    failures: list[Failure] = []
    watchdog = Watchdog([torch.zeros(1)])

    ended = watchdog.watch(failures.append, limit_seconds=30.0)
    watchdog.beat()
    ended.set()

    assert failures == []
