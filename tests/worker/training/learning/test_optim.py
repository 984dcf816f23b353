from typing import Any

import pytest
import torch
from transformers import get_scheduler

from contracts.job import TrainingSpec
from worker.training.learning import optim
from worker.training.learning.optim import (
    build_optimizer,
    choose_fused,
    learning_rate,
    restore_moments,
    warmup_steps,
)

TOTAL = 50


@pytest.mark.parametrize("warmup", [0, 7, 0.1])
@pytest.mark.parametrize("kind", ["cosine", "linear", "constant"])
def test_the_learning_rate_of_every_step_equals_that_of_transformers(
    kind: Any, warmup: float
) -> None:
    training = TrainingSpec(lr_scheduler=kind, warmup_steps=warmup, learning_rate=3e-4)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=3e-4)
    their_kind = "constant_with_warmup" if kind == "constant" else kind
    schedule = get_scheduler(their_kind, optimizer, warmup_steps(training, TOTAL), TOTAL)

    for step in range(1, TOTAL + 1):
        assert learning_rate(training, step, TOTAL) == pytest.approx(
            optimizer.param_groups[0]["lr"], rel=1e-12
        )
        optimizer.step()
        schedule.step()


def test_a_warmup_given_as_a_fraction_is_rounded_up() -> None:
    assert warmup_steps(TrainingSpec(warmup_steps=0.03), 101) == 4
    assert warmup_steps(TrainingSpec(warmup_steps=5), 101) == 5


def test_the_last_step_of_a_cosine_schedule_has_a_nonzero_learning_rate() -> None:
    assert 0 < learning_rate(TrainingSpec(), 6250, 6250) < 1e-9


def test_the_optimizer_keeps_its_moments_in_float32() -> None:
    parameter = torch.nn.Parameter(torch.ones(4))
    optimizer = build_optimizer([parameter], TrainingSpec())
    parameter.sum().backward()  # type: ignore[no-untyped-call]  # untyped in torch

    optimizer.step()

    assert optimizer.state[parameter]["exp_avg"].dtype is torch.float32


def test_preallocated_memory_does_not_change_an_update_by_a_single_bit() -> None:
    torch.manual_seed(0)
    ours, plain = (torch.nn.Parameter(torch.ones(8)) for _ in range(2))
    training = TrainingSpec(weight_decay=0.1)
    optimizer = build_optimizer([ours], training)
    reference = torch.optim.AdamW([plain], lr=training.learning_rate, weight_decay=0.1)

    for _ in range(3):
        noise = torch.randn(8)
        optimizer.zero_grad(set_to_none=False)
        reference.zero_grad()
        for parameter in (ours, plain):
            (parameter * noise).sum().backward()  # type: ignore[no-untyped-call]  # untyped in torch
        optimizer.step()
        reference.step()

    assert torch.equal(ours, plain)
    state, expected = optimizer.state[ours], reference.state[plain]
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert state["step"].dtype is expected["step"].dtype


CPU = torch.device("cpu")


def test_a_fused_optimizer_whose_updates_are_the_same_is_used() -> None:
    assert choose_fused("auto", CPU) == (False, "only on a GPU")
    is_fused, reason = choose_fused(True, CPU)

    assert is_fused
    assert "were the same" in reason


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("wrong", "computed different updates"), ("missing", "failed: RuntimeError: no kernel")],
)
def test_a_fused_optimizer_that_fails_or_updates_differently_is_not_used(
    monkeypatch: pytest.MonkeyPatch, fault: str, reason: str
) -> None:
    def build(parameters: Any, training: TrainingSpec, *, fused: bool) -> torch.optim.AdamW:
        if fused and fault == "missing":
            raise RuntimeError("no kernel")
        faster = {"learning_rate": training.learning_rate * (1.001 if fused else 1)}
        return build_optimizer(parameters, training.model_copy(update=faster), fused=fused)

    monkeypatch.setattr(optim, "build_optimizer", build)

    is_fused, found = choose_fused(True, CPU)

    assert not is_fused
    assert reason in found


def test_gradients_keep_their_memory_across_updates() -> None:
    parameter = torch.nn.Parameter(torch.ones(4))
    optimizer = build_optimizer([parameter], TrainingSpec())
    assert parameter.grad is not None
    place = parameter.grad.data_ptr()

    optimizer.zero_grad(set_to_none=False)
    parameter.sum().backward()  # type: ignore[no-untyped-call]  # untyped in torch

    assert parameter.grad.data_ptr() == place


def test_moments_are_restored_into_their_existing_memory() -> None:
    parameters = [torch.nn.Parameter(torch.ones(4)) for _ in range(2)]
    optimizer = build_optimizer(parameters, TrainingSpec())
    state = optimizer.state[parameters[1]]
    places = {name: value.data_ptr() for name, value in state.items()}

    restore_moments(optimizer, {"1.exp_avg": torch.full((4,), 0.5), "1.step": torch.tensor(7.0)})

    assert {name: value.data_ptr() for name, value in state.items()} == places
    assert state["exp_avg"].tolist() == [0.5] * 4
    assert state["step"] == 7
    assert optimizer.state[parameters[0]]["exp_avg"].tolist() == [0.0] * 4
