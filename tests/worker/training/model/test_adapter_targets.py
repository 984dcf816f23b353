"""Which layers get a LoRA in architectures with experts or with a vision tower."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    FalconH1ForCausalLM,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    MixtralForCausalLM,
    Qwen2MoeForCausalLM,
    Qwen3MoeForCausalLM,
)

from contracts.failure import FailureReason
from tests.tiny_model import make_other, make_rows
from tests.worker.training.harness.run_directory import make_run_dir, run_here, summary_of
from tests.worker.training.learning.test_loss import ragged_samples, set_nonzero_weights
from worker.training.data.batches import pack
from worker.training.errors import TrainingError
from worker.training.learning.loss import sum_nll
from worker.training.memory.budget import memory_bytes
from worker.training.model.trainable import TrainableModel

Load = Callable[..., TrainableModel]
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


def make_experts(kind: Any, directory: Path, **changes: Any) -> Path:
    experts = {"num_local_experts": 4} if kind is MixtralForCausalLM else {"num_experts": 4}
    sizes = {"num_key_value_heads": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
    return make_other(kind, directory, **(experts | sizes | changes))


def make_vision_model(directory: Path) -> Path:
    """Write a tiny Gemma 3 with a vision tower, whose layers have the same names as the decoder's."""
    sizes = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    text = {"vocab_size": 400, "num_key_value_heads": 1, "head_dim": 32, "sliding_window": 64}
    config = Gemma3Config(
        text_config=sizes | text | {"max_position_embeddings": 2048},
        vision_config=sizes | {"image_size": 28, "patch_size": 14},
        mm_tokens_per_image=4,
        image_token_index=390,
        boi_token_index=391,
        eoi_token_index=392,
    )
    torch.manual_seed(0)
    Gemma3ForConditionalGeneration(config).save_pretrained(directory)
    return directory


def trained(model: TrainableModel) -> list[str]:
    return [n for n, p in model.peft_model.named_parameters() if p.requires_grad]


@pytest.mark.parametrize("kind", [MixtralForCausalLM, Qwen3MoeForCausalLM])
def test_experts_are_trained_but_their_routers_are_not(
    load: Load, tmp_path: Path, kind: Any
) -> None:
    model = load(directory=make_experts(kind, tmp_path))

    assert any(".experts." in name for name in trained(model))
    assert not [name for name in trained(model) if "gate." in name]


def test_a_gate_with_one_output_does_not_limit_the_rank(load: Load, tmp_path: Path) -> None:
    make_experts(Qwen2MoeForCausalLM, tmp_path, shared_expert_intermediate_size=64)

    model = load(directory=tmp_path)

    assert any("shared_expert.up_proj" in name for name in trained(model))
    assert not [name for name in trained(model) if "shared_expert_gate" in name]


# peft warns that rank patterns match nothing, but matches them later.
@pytest.mark.filterwarnings("ignore")
def test_an_adapter_for_experts_computes_the_same_logits_in_plain_peft(
    load: Load, tmp_path: Path
) -> None:
    make_experts(MixtralForCausalLM, tmp_path, initializer_range=0.2)
    model = set_nonzero_weights(load(directory=tmp_path, engine={"dequantize_base": True}))
    model.peft_model.eval()
    model.peft_model.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path)
    values = model.peft_model.get_base_model().state_dict()
    plain.load_state_dict(
        {n.replace(".base_layer", ""): v for n, v in values.items() if "lora_" not in n}
    )

    loaded = PeftModel.from_pretrained(plain, tmp_path / "adapter")

    ids = torch.arange(20)[None]
    with torch.no_grad():
        expected = model.peft_model(input_ids=ids, use_cache=False).logits
        found = loaded(input_ids=ids, use_cache=False).logits
        without = loaded.unload()(input_ids=ids, use_cache=False).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (without - expected).abs().max() > 0.1


def test_the_summary_states_that_experts_are_not_stored_in_4_bits(
    tiny_model: Path, tmp_path: Path
) -> None:
    make_experts(Qwen3MoeForCausalLM, tmp_path / "model")
    for path in tiny_model.iterdir():
        if not (tmp_path / "model" / path.name).exists():
            shutil.copy(path, tmp_path / "model" / path.name)
    (tmp_path / "run").mkdir()
    run_dir = make_run_dir(tmp_path / "run", tmp_path / "model", make_rows(13))

    run_here(run_dir)

    experts = summary_of(run_dir).choices["experts"]
    assert experts["value"] == "float32"
    assert "not stored in 4 bits" in experts["reason"]


def test_the_memory_estimate_includes_trained_experts(load: Load, tmp_path: Path) -> None:
    make_experts(MixtralForCausalLM, tmp_path)
    with_experts = load(directory=tmp_path)
    without = load(directory=tmp_path, lora={"rank": 8, "target_modules": ATTENTION})

    # Two layers of four experts, each with three matrices of 64 × 128, in float32.
    more = memory_bytes(with_experts, 0) - memory_bytes(without, 0)
    assert more == 2 * 4 * 3 * 64 * 128 * 4


def test_dropout_is_rejected_if_experts_are_trained_and_accepted_otherwise(
    load: Load, tmp_path: Path
) -> None:
    make_experts(Qwen3MoeForCausalLM, tmp_path)

    with pytest.raises(TrainingError) as caught:
        load(directory=tmp_path, lora={"rank": 8, "dropout": 0.05})
    load(directory=tmp_path, lora={"rank": 8, "dropout": 0.05, "target_modules": ATTENTION})

    assert caught.value.failure.reason is FailureReason.SPEC_REFUSED
    assert "Set lora.dropout to 0" in caught.value.failure.detail


def test_a_rank_larger_than_an_expert_is_rejected(load: Load, tmp_path: Path) -> None:
    make_experts(Qwen3MoeForCausalLM, tmp_path, moe_intermediate_size=16)

    with pytest.raises(TrainingError) as caught:
        load(directory=tmp_path, lora={"rank": 32})

    assert caught.value.failure.reason is FailureReason.SPEC_REFUSED
    assert "larger than the smaller dimension (16) of model.layers.0.mlp.experts" in (
        caught.value.failure.detail
    )


def test_an_architecture_that_peft_cannot_target_is_rejected_with_pefts_message(
    load: Load, tmp_path: Path
) -> None:
    mamba = {"mamba_d_ssm": 64, "mamba_n_heads": 2, "mamba_d_head": 32, "mamba_n_groups": 1}
    make_other(FalconH1ForCausalLM, tmp_path, num_key_value_heads=1, mamba_d_state=16, **mamba)

    with pytest.raises(TrainingError) as caught:
        load(directory=tmp_path)

    assert caught.value.failure.reason is FailureReason.MODEL_REFUSED
    assert "'out_proj' is incompatible with Mamba-based models" in caught.value.failure.detail


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "v_proj"]])
def test_a_vision_tower_gets_no_lora(load: Load, tmp_path: Path, targets: Any) -> None:
    model = load(directory=make_vision_model(tmp_path), lora={"rank": 8, "target_modules": targets})
    model.peft_model.train()

    sum_nll(model, pack(ragged_samples(4), 4096)[0]).backward()  # type: ignore[no-untyped-call]  # untyped in torch

    assert not [name for name in trained(model) if "vision" in name]
    assert all(parameter.grad is not None for parameter in model.adapter_parameters)


def test_memory_is_estimated_from_the_sizes_of_the_text_decoder(load: Load, tmp_path: Path) -> None:
    model = load(directory=make_vision_model(tmp_path))

    assert memory_bytes(model, 1024) > memory_bytes(model, 0)
