"""The checks at load time return the right result in bfloat16 and float32, even with very small random weights."""

from pathlib import Path
from typing import Any

import pytest
from transformers import (
    Gemma2ForCausalLM,
    GraniteForCausalLM,
    Lfm2ForCausalLM,
    LlamaForCausalLM,
    Qwen3MoeForCausalLM,
)

from tests.tiny_model import make_other
from tests.worker.training.conftest import small_spec
from worker.training.compute.device import choose_device
from worker.training.model.load import load_model
from worker.training.model.trainable import TrainableModel

both_types = pytest.mark.parametrize("compute_dtype", ["float32", "bfloat16"])


def load_as(directory: Path, compute_dtype: Any) -> TrainableModel:
    spec = small_spec(quantization={"compute_dtype": compute_dtype})
    return load_model(directory, spec, choose_device(compute_dtype, None))


@both_types
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (Gemma2ForCausalLM, {"final_logit_softcapping": 30.0, "num_key_value_heads": 1}),
        (GraniteForCausalLM, {"logits_scaling": 1.02}),
    ],
    ids=["cap", "scale"],
)
def test_a_head_that_changes_its_logits_only_slightly_does_not_count_as_plain(
    tmp_path: Path, kind: Any, changes: dict[str, Any], compute_dtype: str
) -> None:
    make_other(kind, tmp_path, **changes)

    assert not load_as(tmp_path, compute_dtype).plain_head


def test_a_logit_scale_with_an_unknown_name_is_detected_from_the_logits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.training.model.proofs.CAPS_AND_SCALES", ())
    make_other(GraniteForCausalLM, tmp_path, logits_scaling=1.02)

    assert not load_as(tmp_path, "bfloat16").plain_head


@both_types
def test_samples_that_influence_each_other_only_slightly_are_not_packed(
    tmp_path: Path, compute_dtype: str
) -> None:
    # The model's short convolution ignores positions, and its random weights are so small that rounding hides the effect.
    make_other(
        Lfm2ForCausalLM,
        tmp_path,
        num_key_value_heads=1,
        num_hidden_layers=4,
        layer_types=["conv", "conv", "full_attention", "conv"],
    )

    assert not load_as(tmp_path, compute_dtype).packs


@both_types
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (LlamaForCausalLM, {"num_hidden_layers": 12, "initializer_range": 0.2}),
        (
            Qwen3MoeForCausalLM,
            {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64},
        ),
    ],
    ids=["deep", "experts"],
)
def test_a_regular_model_is_packed_and_has_a_plain_head(
    tmp_path: Path, kind: Any, changes: dict[str, Any], compute_dtype: str
) -> None:
    make_other(kind, tmp_path, num_key_value_heads=1, **changes)

    model = load_as(tmp_path, compute_dtype)

    assert (model.packs, model.plain_head) == (True, True)
