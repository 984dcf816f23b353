"""The switches in spec.engine change speed and memory use, not the results."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import bitsandbytes
import pytest
import torch
from transformers import PreTrainedModel

from tests.worker.training.conftest import small_spec
from tests.worker.training.harness.run_directory import losses, make_run_dir, run_here, summary_of
from tests.worker.training.learning.test_loss import ragged_samples, set_nonzero_weights
from worker.training.compute.device import Device, choose_device
from worker.training.data.batches import pack
from worker.training.learning.loss import sum_nll
from worker.training.memory.budget import choose_token_budget, memory_bytes
from worker.training.memory.fit import Choice
from worker.training.memory.plan import MemoryPlan, Planner
from worker.training.model.load import load_model
from worker.training.model.trainable import TrainableModel

Load = Callable[..., TrainableModel]


def loss_and_gradients(model: TrainableModel) -> tuple[float, list[torch.Tensor]]:
    model.train()
    total = 0.0
    for batch in pack(ragged_samples(8), 128):
        part = sum_nll(model, batch)
        part.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        total += part.item()
    return total, [p.grad for p in model.adapter_parameters if p.grad is not None]


def test_activation_checkpointing_is_bit_exact_with_dropout(load: Load) -> None:
    lora = {"rank": 8, "dropout": 0.1}
    kept, recomputed = set_nonzero_weights(load(lora=lora)), set_nonzero_weights(load(lora=lora))
    recomputed.checkpoint_activations()
    torch.manual_seed(3)
    expected, gradients = loss_and_gradients(kept)
    torch.manual_seed(3)

    found, found_gradients = loss_and_gradients(recomputed)

    assert found == expected
    assert all(torch.equal(a, b) for a, b in zip(found_gradients, gradients, strict=True))


def test_a_base_dequantised_once_keeps_its_nf4_values(load: Load) -> None:
    packed = set_nonzero_weights(load())
    dequantised = set_nonzero_weights(load(engine={"dequantize_base": True}))
    assert not any(
        isinstance(m, bitsandbytes.nn.Linear4bit) for m in dequantised.peft_model.modules()
    )
    assert packed.shares_unpacking
    assert not dequantised.shares_unpacking
    assert dequantised.quantized_layers == packed.quantized_layers
    assert dequantised.all_parameters == packed.all_parameters
    expected, gradients = loss_and_gradients(packed)

    found, found_gradients = loss_and_gradients(dequantised)

    assert found == pytest.approx(expected, rel=1e-6)
    for a, b in zip(found_gradients, gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_base_whose_unpacked_layers_compute_something_else_stays_in_4_bits(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    dequantize = PreTrainedModel.dequantize

    def wrong(base: Any, **options: Any) -> Any:
        unpacked = dequantize(base, **options)
        unpacked.model.layers[1].mlp.up_proj.weight.data[:, 3] *= 1.2
        return unpacked

    packed = set_nonzero_weights(load())
    monkeypatch.setattr(PreTrainedModel, "dequantize", wrong)

    model = set_nonzero_weights(load(engine={"dequantize_base": True}))

    assert not model.dequantized
    assert "layers.1.mlp.up_proj" in model.unpacking_proof
    assert loss_and_gradients(model)[0] == loss_and_gradients(packed)[0]


def test_with_bfloat16_compute_the_adapter_stays_float32_and_the_loss_is_close(
    tiny_model: Path, load: Load
) -> None:
    device = choose_device("bfloat16", None)
    spec = small_spec(quantization={"compute_dtype": "bfloat16"})
    model = set_nonzero_weights(load_model(tiny_model, spec, device))
    expected, _ = loss_and_gradients(set_nonzero_weights(load()))

    found, gradients = loss_and_gradients(model)

    assert model.head.weight.dtype is torch.bfloat16
    assert {p.dtype for p in model.adapter_parameters} == {torch.float32}
    assert {g.dtype for g in gradients} == {torch.float32}
    assert found == pytest.approx(expected, rel=1e-3)
    assert (model.packs, model.plain_head) == (True, True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler emits its own warnings
def test_compiled_blocks_compute_the_same_loss(load: Load) -> None:
    expected, _ = loss_and_gradients(set_nonzero_weights(load()))

    found, _ = loss_and_gradients(set_nonzero_weights(load(engine={"compile": True})))

    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("asked", "tokens"), [(77, 77), ("auto", 512)])
def test_the_token_budget_is_the_requested_one_or_a_default_for_cpus(
    load: Load, asked: Any, tokens: int
) -> None:
    budget = choose_token_budget(asked, load())

    assert budget.tokens == tokens
    assert budget.reason


def test_the_memory_estimate_grows_with_the_tokens(load: Load) -> None:
    model = load()

    assert memory_bytes(model, 8192) > 2 * (memory_bytes(model, 4096) - memory_bytes(model, 0))


def test_the_token_budget_has_a_fixed_value_if_config_json_lacks_the_layer_sizes(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load()
    model.config.num_hidden_layers = 0  # effectively unspecified
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (2**34, 2**34))
    gpu = Device(torch.device("cuda"), "a GPU", torch.bfloat16, "")

    budget = choose_token_budget("auto", replace(model, device=gpu))

    assert (budget.tokens, budget.reason) == (
        2048,
        "config.json does not specify the layer sizes",
    )


def test_auto_keeps_the_base_unpacked_if_the_plan_says_so_and_the_summary_contains_the_reason(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roomy = MemoryPlan(
        "as on a GPU",
        choice=Choice(512, False, False, "", 2**40, dequantizes=True),
        dequantize_reason="the plan has room for it",
    )
    found = {}
    for name, setting in (("packed", "auto"), ("unpacked", "auto"), ("denied", False)):
        if name != "packed":
            monkeypatch.setattr(Planner, "plan", lambda _: roomy)
        (tmp_path / name).mkdir()
        run_dir = make_run_dir(
            tmp_path / name, tiny_model, spec={"engine": {"dequantize_base": setting}}
        )
        assert run_here(run_dir).status == "succeeded"
        found[name] = run_dir

    choices = {name: summary_of(run_dir).choices for name, run_dir in found.items()}
    assert choices["packed"]["dequantize_base"]["value"] is False
    assert "off on a CPU" in choices["packed"]["dequantize_base"]["reason"]
    assert choices["unpacked"]["dequantize_base"] == {
        "value": True,
        "reason": "the plan has room for it; outputs and gradients of each layer for random inputs stayed the same",
    }
    assert choices["denied"]["dequantize_base"] == {
        "value": False,
        "reason": "set by engine.dequantize_base",
    }
    assert losses(found["unpacked"]) == pytest.approx(losses(found["packed"]), rel=1e-5)
