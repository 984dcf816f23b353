"""The fused LoRA function has peft's results, keeps no more in memory, and is used only if its proof succeeds."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import Qwen3MoeForCausalLM

from tests.tiny_model import make_other
from tests.worker.training.conftest import small_spec
from tests.worker.training.learning.test_loss import ragged_samples, set_nonzero_weights
from worker.training.compute.device import choose_device
from worker.training.data.batches import pack
from worker.training.learning.loss import sum_nll
from worker.training.learning.optim import build_optimizer
from worker.training.model.load import load_model
from worker.training.model.lora import fused_lora
from worker.training.model.trainable import TrainableModel

DROPOUT = {"rank": 8, "alpha": 12, "dropout": 0.3}
in_both_types = pytest.mark.parametrize("compute_dtype", ["float32", "bfloat16"])


def load(directory: Path, dtype: Any = "float32", *, fused: bool, **changes: Any) -> TrainableModel:
    engine = {"fused_lora": fused} | changes.pop("engine", {})
    spec = small_spec(engine=engine, quantization={"compute_dtype": dtype}, **changes)
    model = set_nonzero_weights(load_model(directory, spec, choose_device(dtype, None)))
    assert (model.copies is not None) == fused, model.fused_reason
    return model


def gradients(model: TrainableModel, tokens: int = 128) -> tuple[float, list[Tensor]]:
    """Train on some micro-batches; return the loss and the gradients."""
    model.train()
    torch.manual_seed(3)
    for parameter in model.adapter_parameters:
        parameter.grad = None
    total = 0.0
    for batch in pack(ragged_samples(8), tokens):
        part = sum_nll(model, batch)
        part.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        total += part.item()
    return total, [p.grad for p in model.adapter_parameters if p.grad is not None]


def difference(found: list[Tensor], expected: list[Tensor]) -> float:
    """Return the largest relative difference of a gradient."""
    pairs = zip(found, expected, strict=True)
    return max(float((a - b).norm() / b.norm()) for a, b in pairs)


@in_both_types
@pytest.mark.parametrize("lora", [{"rank": 8, "alpha": 12}, DROPOUT], ids=["plain", "dropout"])
@pytest.mark.parametrize("engine", [{}, {"dequantize_base": True}], ids=["4-bit", "dequantised"])
def test_the_loss_the_gradients_and_the_random_numbers_are_those_of_peft(
    tiny_model: Path, compute_dtype: str, lora: dict[str, Any], engine: dict[str, Any]
) -> None:
    exact = compute_dtype == "float32"
    expected_loss, expected = gradients(
        load(tiny_model, compute_dtype, fused=False, lora=lora, engine=engine)
    )
    state = torch.get_rng_state()

    loss, found = gradients(load(tiny_model, compute_dtype, fused=True, lora=lora, engine=engine))

    assert torch.equal(torch.get_rng_state(), state)
    assert loss == pytest.approx(expected_loss, rel=1e-6 if exact else 1e-3)
    assert difference(found, expected) < (1e-5 if exact else 5e-2)
    assert {gradient.dtype for gradient in found} == {torch.float32}


def test_activation_checkpointing_is_bit_exact_with_dropout(tiny_model: Path) -> None:
    model = load(tiny_model, "bfloat16", fused=True, lora=DROPOUT)
    expected_loss, expected = gradients(model)
    model.checkpoint_activations()

    loss, found = gradients(model)

    assert loss == expected_loss
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


class Casts(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped in torch
    """Counts the casts of adapter weights to bfloat16."""

    def __init__(self, model: TrainableModel) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in torch
        self._places = {p.data_ptr() for p in model.adapter_parameters}
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count an operation that casts a weight, or each weight of a list."""
        sources: list[Any] = []
        if func.overloadpacket is torch.ops.aten._to_copy:
            sources = [args[0]]
        elif func.overloadpacket is torch.ops.aten._foreach_copy_:
            sources = args[1]
        self.count += sum(source.data_ptr() in self._places for source in sources)
        return func(*args, **(kwargs or {}))


def test_the_adapter_is_cast_once_per_update_and_the_next_update_uses_its_new_weights(
    tiny_model: Path,
) -> None:
    model, peft = (load(tiny_model, "bfloat16", fused=fused) for fused in (True, False))
    losses: list[list[float]] = []
    counts = []
    for each in (model, peft):
        # Fused as on a GPU, because torch does not count the changes that a fused optimizer makes.
        optimizer = build_optimizer(each.adapter_parameters, small_spec().training, fused=True)
        optimizer.param_groups[0]["lr"] = 0.01  # large enough to have a visible effect
        of_each = []
        with Casts(each) as casts:
            for _ in range(3):
                of_each.append(gradients(each, tokens=64)[0])
                optimizer.step()
        losses.append(of_each)
        counts.append(casts.count)

    parameters = len(model.adapter_parameters)
    micro_batches = len(pack(ragged_samples(8), 64))
    assert micro_batches > 1
    assert counts == [3 * parameters, 3 * micro_batches * parameters]
    assert losses[0] == pytest.approx(losses[1], rel=5e-3)
    assert losses[0][2] < 0.95 * losses[0][0]


def saved_bytes(model: TrainableModel) -> int:
    """Return the bytes that a forward pass keeps for the backward pass, apart from parameters and the copies of the adapter."""
    own = {p.untyped_storage().data_ptr() for p in model.peft_model.parameters()}
    own |= {c.untyped_storage().data_ptr() for c in (model.copies.tensors if model.copies else ())}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    model.train()
    (batch,) = pack(ragged_samples(8), 4096)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = sum_nll(model, batch)
    del loss
    return sum(kept.values())


@in_both_types
@pytest.mark.parametrize("lora", [{"rank": 8, "alpha": 12}, DROPOUT], ids=["plain", "dropout"])
def test_the_backward_pass_needs_no_more_memory_than_with_peft(
    tiny_model: Path, compute_dtype: str, lora: dict[str, Any]
) -> None:
    own, peft = (
        saved_bytes(load(tiny_model, compute_dtype, fused=fused, lora=lora))
        for fused in (True, False)
    )

    assert own <= peft
    if "dropout" in lora:
        assert own < 0.8 * peft


def test_a_frozen_weight_gets_no_gradient_and_a_disabled_adapter_changes_nothing(
    tiny_model: Path,
) -> None:
    model, peft = (
        load(tiny_model, fused=fused, lora={"rank": 8, "target_modules": ["q_proj"]})
        for fused in (True, False)
    )
    for each in (model, peft):
        for name, parameter in each.peft_model.named_parameters():
            if "lora_A" in name:
                parameter.requires_grad_(requires_grad=False)
    loss, found = gradients(model)
    expected_loss, expected = gradients(peft)
    assert len(found) == 2  # B of two layers
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    assert difference(found, expected) < 1e-5

    with model.peft_model.disable_adapter(), peft.peft_model.disable_adapter():
        (batch,) = pack(ragged_samples(2), 4096)
        with torch.no_grad():
            assert torch.equal(sum_nll(model, batch), sum_nll(peft, batch))


def test_experts_keep_pefts_computation(tmp_path: Path) -> None:
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
    make_other(Qwen3MoeForCausalLM, tmp_path, num_key_value_heads=2, **experts)

    model, peft = (load(tmp_path, fused=fused) for fused in (True, False))

    loss, found = gradients(model)
    expected_loss, expected = gradients(peft)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert difference(found, expected) < 1e-4


@pytest.fixture
def wrong_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the function's gradient of the inputs a tenth too small."""
    right = fused_lora._Product.backward

    def backward(ctx: Any, *arguments: Any) -> Any:
        results = right(ctx, *arguments)
        inputs = results[0]
        return (None if inputs is None else 0.9 * inputs, *results[1:])

    monkeypatch.setattr(fused_lora._Product, "backward", staticmethod(backward))


@pytest.mark.usefixtures("wrong_gradient")
@in_both_types
def test_a_function_with_a_wrong_gradient_is_not_used(tiny_model: Path, compute_dtype: Any) -> None:
    spec = small_spec(engine={"fused_lora": True}, quantization={"compute_dtype": compute_dtype})

    model = load_model(tiny_model, spec, choose_device(compute_dtype, None))

    assert model.copies is None
    assert "gradient of the inputs" in model.fused_reason
    gradients(model)  # with peft


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        ({}, "off on a CPU, where its gain has not been measured"),
        ({"fused_lora": False}, "set by engine.fused_lora"),
    ],
)
def test_the_fused_function_is_not_used_by_default_on_a_cpu(
    tiny_model: Path, engine: dict[str, Any], reason: str
) -> None:
    model = load_model(tiny_model, small_spec(engine=engine), choose_device("float32", None))

    assert (model.copies, model.fused_reason) == (None, reason)
