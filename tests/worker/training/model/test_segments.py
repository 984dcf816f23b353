"""Sample-by-sample attention computes the same result as SDPA with a block-diagonal mask."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import MistralForCausalLM, PhimoeForCausalLM

from tests.tiny_model import make_other
from tests.worker.training.learning.test_loss import ragged_samples, set_nonzero_weights
from worker.training.data.batches import pack
from worker.training.learning.loss import sum_nll
from worker.training.model.segments import SEGMENTS
from worker.training.model.trainable import TrainableModel

Load = Callable[..., TrainableModel]


def loss_and_gradients(model: TrainableModel, attention: str) -> tuple[float, list[torch.Tensor]]:
    model.peft_model.get_base_model().set_attn_implementation(attention)
    model.peft_model.train()
    model.peft_model.zero_grad()
    (batch,) = pack(ragged_samples(12), 4096)
    loss = sum_nll(model, batch)
    loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
    return loss.item(), [p.grad.clone() for p in model.adapter_parameters if p.grad is not None]


def assert_same(model: TrainableModel) -> None:
    expected, gradients = loss_and_gradients(model, "sdpa")
    found, found_gradients = loss_and_gradients(model, SEGMENTS)

    assert found == pytest.approx(expected, rel=1e-6)
    for a, b in zip(found_gradients, gradients, strict=True):
        assert (a - b).norm() <= 1e-5 * b.norm()


def test_loss_and_gradients_equal_those_with_a_dense_mask(load: Load) -> None:
    model = set_nonzero_weights(load())

    assert model.attention == SEGMENTS
    assert_same(model)


@pytest.mark.parametrize(
    ("window", "attention"), [(511, "sdpa"), (512, SEGMENTS)], ids=["narrow", "wide"]
)
@pytest.mark.parametrize(
    "kind",
    [MistralForCausalLM, PhimoeForCausalLM],
    ids=["mistral", "phimoe"],  # Mistral passes its window to attention, Phimoe only to its mask
)
def test_an_architecture_with_a_window_narrower_than_the_samples_keeps_its_mask(
    load: Load, tmp_path: Path, kind: Any, window: int, attention: str
) -> None:
    make_other(kind, tmp_path, num_key_value_heads=1, sliding_window=window)

    model = load(
        directory=tmp_path,
        training={"max_length": 512},
        lora={"rank": 8, "target_modules": ["q_proj", "v_proj"]},
    )

    assert model.attention == attention
    assert model.packs


def test_a_call_with_a_cache_is_an_error_not_a_wrong_result(load: Load) -> None:
    model = load()
    ids, places = torch.arange(20)[None], torch.arange(20)[None]
    with torch.no_grad():
        cache = model.body(input_ids=ids, position_ids=places, use_cache=True).past_key_values

    with torch.no_grad(), pytest.raises(ValueError, match="separated by their positions"):
        model.body(input_ids=ids[:, :1], position_ids=places[:, :1] + 20, past_key_values=cache)
