"""The adapter learns from small updates, ends its answer at the right token, and can be merged."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from contracts.job import TrainingSpec
from tests.worker.training.learning.test_loss import ragged_samples, set_nonzero_weights
from worker.training.data.arrays import Sample
from worker.training.data.batches import pack, supervised_tokens
from worker.training.learning.loss import sum_nll
from worker.training.learning.optim import build_optimizer
from worker.training.model.trainable import TrainableModel

Load = Callable[..., TrainableModel]


def fit(model: TrainableModel, samples: list[Sample], steps: int, rate: float) -> float:
    optimizer = build_optimizer(model.adapter_parameters, TrainingSpec(learning_rate=rate))
    loss = torch.zeros(())
    for _ in range(steps):
        optimizer.zero_grad()
        model.peft_model.train()
        (batch,) = pack(samples, 4096)
        loss = sum_nll(model, batch) / supervised_tokens(samples)
        loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        optimizer.step()
    return loss.item()


def test_late_updates_of_a_cosine_schedule_still_change_nearly_every_weight(load: Load) -> None:
    model = load()
    before = {n: p.detach().clone() for n, p in lora_a_weights(model)}

    fit(model, ragged_samples(8), steps=50, rate=2e-5)

    changed = sum(int((p != before[n]).sum()) for n, p in lora_a_weights(model))
    assert changed > 0.99 * sum(p.numel() for _, p in lora_a_weights(model))


def lora_a_weights(model: TrainableModel) -> list[tuple[str, Any]]:
    return [(n, p) for n, p in model.peft_model.named_parameters() if ".lora_A." in n]


def test_a_model_that_has_learned_one_answer_stops_after_it(load: Load, tokenizer: Any) -> None:
    model = load(lora={"rank": 16, "alpha": 32})
    model.head.weight.mul_(30)  # random embeddings are too small for a confident prediction
    prompt = "<|im_start|>user\napples<|im_end|>\n<|im_start|>assistant\n"
    prompt_ids = tokenizer(prompt).input_ids
    answer = tokenizer("two apples<|im_end|>").input_ids
    ids = np.array([*prompt_ids, *answer], dtype=np.int32)
    sample = Sample(ids, np.arange(len(ids)) >= len(prompt_ids))

    loss = fit(model, [sample], steps=150, rate=2e-3)

    model.peft_model.eval()
    model.peft_model.get_base_model().set_attn_implementation("sdpa")  # generation uses a cache
    with torch.no_grad():
        generated = model.peft_model.generate(
            input_ids=torch.tensor([prompt_ids]), max_new_tokens=20, do_sample=False
        )
    assert loss < 0.1
    assert generated[0, len(prompt_ids) :].tolist() == answer


@pytest.mark.filterwarnings("ignore:Merge lora module to 4-bit linear")
def test_a_merged_model_computes_the_same_logits_as_base_and_adapter_and_keeps_its_tied_head(
    load: Load,
) -> None:
    model = set_nonzero_weights(load(engine={"dequantize_base": True}))
    model.peft_model.eval()
    ids = torch.arange(20)[None]
    with torch.no_grad():
        expected = model.peft_model(input_ids=ids, use_cache=False).logits

    merged = model.peft_model.merge_and_unload()

    with torch.no_grad():
        found = merged(input_ids=ids, use_cache=False).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    head, embeddings = merged.get_output_embeddings(), merged.get_input_embeddings()
    assert head.weight.data_ptr() == embeddings.weight.data_ptr()
