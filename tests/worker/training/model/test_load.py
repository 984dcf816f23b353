import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bitsandbytes
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertLMHeadModel,
    FalconForCausalLM,
    GPT2Config,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralForCausalLM,
)

from contracts.failure import FailureReason
from tests.tiny_model import make_other
from tests.worker.training.conftest import small_spec
from worker.training.compute.device import choose_device
from worker.training.data.arrays import Sample
from worker.training.data.batches import pack
from worker.training.errors import TrainingError
from worker.training.learning.evaluate import evaluate
from worker.training.learning.loss import sum_nll
from worker.training.model.length import check_length
from worker.training.model.load import load_model
from worker.training.model.trainable import TrainableModel

Load = Callable[..., TrainableModel]


def ids(*lengths: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, 390, (length,), generator=generator) for length in lengths]


def logits(model: TrainableModel, parts: list[torch.Tensor], **options: Any) -> torch.Tensor:
    """Pack the parts into one row and return its logits."""
    positions = torch.cat([torch.arange(len(part)) for part in parts])
    with torch.no_grad():
        output = model.peft_model(
            input_ids=torch.cat(parts)[None], position_ids=positions[None], **options
        )
    found: torch.Tensor = output.logits[0]
    return found


def test_the_base_is_frozen_in_4_bits_and_the_adapter_trains_in_float32(
    load: Load,
) -> None:
    model = load()

    layers = [m for m in model.peft_model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    assert len(layers) == model.quantized_layers == 14
    assert {layer.weight.dtype for layer in layers} == {torch.uint8}
    assert {layer.weight.quant_state.quant_type for layer in layers} == {"nf4"}
    assert all("lora_" in n for n, p in model.peft_model.named_parameters() if p.requires_grad)
    assert {p.dtype for p in model.adapter_parameters} == {torch.float32}
    embeddings = model.peft_model.get_base_model().get_input_embeddings()
    assert model.head.weight.data_ptr() == embeddings.weight.data_ptr()


def test_parameters_are_counted_as_in_peft_with_4_bit_weights_unpacked(
    load: Load,
) -> None:
    model = load()

    assert model.trainable_parameters == sum(p.numel() for p in model.adapter_parameters)
    assert model.all_parameters == 346_752 + model.trainable_parameters


def test_only_the_adapter_gets_gradients(load: Load) -> None:
    model = load()
    samples = [Sample(part.numpy().astype(np.int32), np.arange(24) >= 12) for part in ids(24, 24)]
    (batch,) = pack(samples, 64)
    model.peft_model.train()

    sum_nll(model, batch).backward()  # type: ignore[no-untyped-call]  # untyped in torch

    with_gradient = {n for n, p in model.peft_model.named_parameters() if p.grad is not None}
    assert with_gradient == {n for n, _ in model.peft_model.named_parameters() if "lora_" in n}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("training", [False, True])
def test_packed_samples_do_not_attend_to_each_other(
    load: Load, training: bool, attention: str
) -> None:
    model = load()
    model.peft_model.get_base_model().set_attn_implementation(attention)
    model.peft_model.train(training)
    first, second = ids(23, 31)
    other, _ = ids(23, 1, seed=1)

    alone = logits(model, [second], use_cache=False)
    packed = logits(model, [first, second], use_cache=False)[23:]
    with_other = logits(model, [other, second], use_cache=False)[23:]
    with_cache = logits(model, [first, second], use_cache=True)[23:]
    with_mask = logits(
        model, [first, second], use_cache=False, attention_mask=torch.ones(1, 54, dtype=torch.long)
    )[23:]

    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(with_other, alone, atol=1e-5, rtol=0)
    assert (with_cache - alone).abs().max() > 1e-2  # control: this call mixes the samples
    assert (with_mask - alone).abs().max() > 1e-2
    assert model.packs


def test_an_evaluation_does_not_change_the_gradients_of_later_updates(load: Load) -> None:
    model = load()
    samples = [Sample(part.numpy().astype(np.int32), np.arange(24) >= 12) for part in ids(24, 24)]
    (batch,) = pack(samples, 64)
    model.peft_model.train()
    sum_nll(model, batch).backward()  # type: ignore[no-untyped-call]  # untyped in torch
    before = [p.grad.clone() for p in model.adapter_parameters if p.grad is not None]

    evaluate(model, samples, 64, step=0)

    model.peft_model.train()
    model.peft_model.zero_grad()
    sum_nll(model, batch).backward()  # type: ignore[no-untyped-call]  # untyped in torch
    after = [p.grad for p in model.adapter_parameters if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_adapter_targets_every_linear_layer_except_the_head(load: Load) -> None:
    model = load()

    layers = {n.partition(".lora_A")[0].rpartition(".")[2] for n, _ in lora_a(model)}
    assert layers == {
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    }
    assert len(lora_a(model)) == 14


def lora_a(model: TrainableModel) -> list[tuple[str, Any]]:
    return [(n, p) for n, p in model.peft_model.named_parameters() if ".lora_A." in n]


def test_only_the_named_target_modules_get_a_lora(load: Load) -> None:
    model = load(lora={"rank": 4, "target_modules": ["q_proj", "v_proj"]})

    assert len(lora_a(model)) == 4


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ({"rank": 8, "target_modules": ["q_proj", "query"]}, "'query' matches no layer"),
        ({"rank": 8, "target_modules": ["lm_head"]}, "'lm_head' is not a 4-bit linear layer"),
        ({"rank": 8, "target_modules": ["embed_tokens"]}, "'embed_tokens' is not"),
        ({"rank": 65}, "lora.rank is 65, which is larger than the smaller dimension (64)"),
    ],
)
def test_lora_settings_that_are_incompatible_with_the_model_are_rejected(
    load: Load, lora: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrainingError) as caught:
        load(lora=lora)

    assert caught.value.failure.reason is FailureReason.SPEC_REFUSED
    assert message in caught.value.failure.detail


def test_weights_with_a_missing_layer_are_rejected(
    load: Load, tiny_model: Path, tmp_path: Path
) -> None:
    copy = copied(tiny_model, tmp_path)
    weights = load_file(copy / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(TrainingError) as caught:
        load(directory=copy)

    assert caught.value.failure.reason is FailureReason.MODEL_REFUSED
    assert "model.layers.1.mlp.up_proj.weight" in caught.value.failure.detail


def test_weights_of_the_wrong_shape_are_rejected(
    load: Load, tiny_model: Path, tmp_path: Path
) -> None:
    copy = copied(tiny_model, tmp_path)
    config = json.loads((copy / "config.json").read_text()) | {"intermediate_size": 512}
    (copy / "config.json").write_text(json.dumps(config))

    with pytest.raises(TrainingError) as caught:
        load(directory=copy)

    assert caught.value.failure.reason is FailureReason.MODEL_REFUSED


def test_an_unknown_architecture_is_rejected(load: Load, tiny_model: Path, tmp_path: Path) -> None:
    copy = copied(tiny_model, tmp_path)
    (copy / "config.json").write_text('{"model_type": "quantum_foam", "vocab_size": 3}')

    with pytest.raises(TrainingError) as caught:
        load(directory=copy)

    assert caught.value.failure.reason is FailureReason.MODEL_REFUSED
    assert "quantum_foam" in caught.value.failure.detail


def test_the_number_of_positions_is_found_under_the_name_that_the_architecture_uses(
    tmp_path: Path,
) -> None:
    GPT2Config(vocab_size=396, n_positions=256).save_pretrained(tmp_path)

    check_length(tmp_path, small_spec(training={"max_length": 256}))
    with pytest.raises(TrainingError) as caught:
        check_length(tmp_path, small_spec(training={"max_length": 512}))

    assert caught.value.failure.reason is FailureReason.SPEC_REFUSED
    assert "has only 256 positions" in caught.value.failure.detail


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4},
        {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 512,
            "rope_theta": 1e4,
        },
    ],
)
def test_rope_scaling_increases_the_number_of_positions(
    tmp_path: Path, rope: dict[str, Any]
) -> None:
    LlamaConfig(max_position_embeddings=512, rope_parameters=rope).save_pretrained(tmp_path)

    check_length(tmp_path, small_spec(training={"max_length": 2048}))
    with pytest.raises(TrainingError):
        check_length(tmp_path, small_spec(training={"max_length": 2049}))


def test_an_architecture_that_lora_cannot_target_is_rejected(load: Load, tmp_path: Path) -> None:
    make_other(FalconForCausalLM, tmp_path)

    with pytest.raises(TrainingError) as caught:
        load(directory=tmp_path)

    assert caught.value.failure.reason is FailureReason.MODEL_REFUSED
    assert "no linear layer that can be stored in 4 bits and adapted with LoRA" in (
        caught.value.failure.detail
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_mixture_of_experts_in_bfloat16_is_recognised_as_causal(
    tmp_path: Path, seed: int
) -> None:
    make_other(
        MixtralForCausalLM,
        tmp_path,
        seed,
        intermediate_size=64,
        num_hidden_layers=16,
        num_key_value_heads=1,
        num_local_experts=4,
        initializer_range=0.2,  # so that the experts' outputs differ
    )
    spec = small_spec(quantization={"compute_dtype": "bfloat16"})

    assert load_model(tmp_path, spec, choose_device("bfloat16", None)).quantized_layers


@pytest.mark.filterwarnings("ignore")  # transformers warns about this model
def test_a_model_that_is_not_causal_is_rejected(load: Load, tmp_path: Path) -> None:
    make_other(BertLMHeadModel, tmp_path)

    with pytest.raises(TrainingError) as caught:
        load(directory=tmp_path, training={"max_length": 512})

    assert caught.value.failure.reason is FailureReason.MODEL_REFUSED
    assert "not a causal language model" in caught.value.failure.detail


def test_an_architecture_other_than_qwen2_is_packed_and_quantised(
    load: Load, tiny_model: Path, tmp_path: Path
) -> None:
    make_other(LlamaForCausalLM, tmp_path, tie_word_embeddings=False)

    model = load(directory=tmp_path)

    assert (model.packs, model.plain_head, model.quantized_layers) == (True, True, 14)


def copied(model: Path, directory: Path) -> Path:
    for path in model.iterdir():
        (directory / path.name).write_bytes(path.read_bytes())
    return directory
