from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import Gemma2ForCausalLM

from contracts.record import MetricRecord
from tests.tiny_model import make_other
from tests.worker.training.conftest import small_spec
from tests.worker.training.harness.run_directory import make_run_dir, records, run_here
from worker.training.compute.device import choose_device
from worker.training.data.arrays import Sample
from worker.training.data.batches import Windows, pack, supervised_tokens
from worker.training.data.preparation import prepare
from worker.training.data.rendering.template import Template
from worker.training.learning import loss
from worker.training.learning.loss import chunked_score, sum_nll, sum_score, token_score
from worker.training.model.load import load_model
from worker.training.model.trainable import TrainableModel

Load = Callable[..., TrainableModel]


def ragged_samples(count: int, vocabulary: int = 390) -> list[Sample]:
    random = np.random.default_rng(0)
    lengths = random.integers(5, 40, count)
    return [
        Sample(
            random.integers(0, vocabulary, length).astype(np.int32),
            np.arange(length) >= random.integers(1, length),
        )
        for length in lengths
    ]


def set_nonzero_weights(model: TrainableModel) -> TrainableModel:
    """Set the adapter's weights to non-zero values, so that no gradient vanishes."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.adapter_parameters:
            parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.mark.parametrize("with_bias", [False, True])
def test_chunked_loss_and_its_gradient_equal_plain_cross_entropy(
    monkeypatch: pytest.MonkeyPatch, with_bias: bool
) -> None:
    monkeypatch.setitem(loss._CHUNK_BYTES, "cpu", 16 * 4 * 300)
    torch.manual_seed(0)
    head = torch.nn.Linear(32, 300, bias=with_bias)
    head.requires_grad_(requires_grad=False)
    hidden = torch.randn(101, 32, requires_grad=True)
    targets = torch.randint(0, 300, (101,))
    largest = head(hidden).argmax(-1)
    targets[::3] = largest[::3]
    expected = functional.cross_entropy(head(hidden), targets, reduction="none")
    (slope,) = torch.autograd.grad(expected.sum(), hidden)

    found, found_slope = chunked_score(hidden.detach(), head, targets, gradient=True)

    assert loss.chunk_tokens(head.weight) == 16
    assert found_slope is not None
    assert torch.equal(found.correct, targets == largest)
    torch.testing.assert_close(found.nll, expected.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found_slope, slope, rtol=1e-5, atol=1e-6)


def test_without_supervised_tokens_the_loss_is_zero_not_nan() -> None:
    score, slope = chunked_score(
        torch.randn(0, 32),
        torch.nn.Linear(32, 300),
        torch.zeros(0, dtype=torch.long),
        gradient=True,
    )

    assert score.nll.sum() == 0
    assert score.correct.sum() == 0
    assert slope is not None
    assert slope.shape == (0, 32)


@pytest.mark.parametrize("count", [16, 18])
def test_loss_and_gradients_do_not_depend_on_the_micro_batches(load: Load, count: int) -> None:
    model = set_nonzero_weights(load())
    samples = ragged_samples(count)

    def update(batches: list[Any]) -> tuple[float, list[torch.Tensor]]:
        model.peft_model.train()
        model.peft_model.zero_grad()
        total = 0.0
        for batch in batches:
            part = sum_nll(model, batch) / supervised_tokens(samples)
            part.backward()  # type: ignore[no-untyped-call]  # untyped in torch
            total += part.item()
        return total, [p.grad.clone() for p in model.adapter_parameters if p.grad is not None]

    one_by_one, gradients = update(pack(samples, 16, together=False))
    by_four, gradients_4 = update(
        [b for i in range(0, count, 4) for b in pack(samples[i : i + 4], 4096)]
    )
    in_one_batch, gradients_1 = update(pack(samples, 4096))
    packed, gradients_p = update(pack(samples, 100))

    assert [by_four, in_one_batch, packed] == pytest.approx([one_by_one] * 3, rel=1e-5)
    for others in (gradients_4, gradients_1, gradients_p):
        for found, expected in zip(others, gradients, strict=True):
            assert (found - expected).norm() <= 1e-5 * expected.norm()


def test_dividing_by_the_number_of_tokens_does_not_round_gradients_in_bfloat16(
    tiny_model: Path, tokenizer: Any, tmp_path: Path
) -> None:
    spec = small_spec(
        quantization={"compute_dtype": "bfloat16"},
        training={"max_steps": 1, "per_device_batch_size": 7, "gradient_accumulation_steps": 2},
        engine={"token_budget": 256},
    )
    run_dir = make_run_dir(tmp_path, tiny_model, spec=spec.model_dump())
    run_here(run_dir)
    (step,) = (r for r in records(run_dir) if isinstance(r, MetricRecord))

    model = load_model(tiny_model, spec, choose_device("bfloat16", None))
    model.peft_model.train()
    data = prepare(run_dir, spec, tokenizer, Template(tokenizer))
    window = Windows(data.train, spec.effective_batch_size, spec.training.seed).window(1)
    for batch in pack(window, 256):
        sum_nll(model, batch).backward()  # type: ignore[no-untyped-call]  # untyped in torch
    gradients = [p.grad for p in model.adapter_parameters if p.grad is not None]
    of_the_sum = torch.nn.utils.get_total_norm(gradients).item()

    tokens = supervised_tokens(window)
    assert step.values["grad_norm"] * tokens == pytest.approx(of_the_sum, rel=1e-5)


def test_of_several_largest_logits_the_one_with_the_lowest_id_is_the_prediction() -> None:
    head = torch.nn.Linear(1, 4, bias=False).requires_grad_(requires_grad=False)
    head.weight.copy_(torch.tensor([[0.0], [1.0], [1.0], [0.5]]))

    score, _ = chunked_score(torch.ones(4, 1), head, torch.arange(4))

    assert score.correct.tolist() == [False, True, False, False]


def test_scaling_the_loss_scales_its_gradient_in_bfloat16() -> None:
    head = torch.nn.Linear(32, 300, bias=False, dtype=torch.bfloat16).requires_grad_(
        requires_grad=False
    )
    hidden = torch.randn(50, 32, dtype=torch.bfloat16, requires_grad=True)
    targets = torch.randint(0, 300, (50,))
    total, _ = loss._ChunkedScore.apply(hidden, head, targets)  # type: ignore[no-untyped-call]  # untyped in torch
    (plain,) = torch.autograd.grad(total, hidden, retain_graph=True)

    (scaled,) = torch.autograd.grad(total / 769, hidden)

    ratio = scaled.double().norm() * 769 / plain.double().norm()
    assert ratio.item() == pytest.approx(1.0, abs=1e-3)


def test_prompt_tokens_do_not_count_towards_the_loss(load: Load) -> None:
    model = load()
    (sample,) = ragged_samples(1)
    (batch,) = pack([sample], 64)
    (more,) = pack([Sample(sample.ids, np.arange(len(sample)) >= 1)], 64)

    supervised = {int(place) for place in batch.places}
    scored = dict(zip(more.places.tolist(), token_score(model, more).nll.tolist(), strict=True))

    assert sum_nll(model, batch).item() == pytest.approx(sum(scored[p] for p in supervised))


def half_predicted_samples(model: TrainableModel) -> list[Sample]:
    """Return samples in which about every second token is the one that the model predicts."""
    random = np.random.default_rng(0)
    samples = []
    for count in (9, 14, 20):
        ids = random.integers(0, 390, 3).tolist()
        while len(ids) < count:
            with torch.no_grad():
                logits = model.peft_model(input_ids=torch.tensor([ids]), use_cache=False).logits
            predicted = int(logits[0, -1].argmax())
            ids.append(predicted if random.random() < 0.5 else int(random.integers(0, 390)))
        samples.append(Sample(np.array(ids, dtype=np.int32), np.arange(count) >= 4))
    return samples


def count_predicted(model: TrainableModel, samples: list[Sample]) -> int:
    """Count the supervised tokens that have the largest logit, from all logits of one sample at a time."""
    predicted = 0
    for sample in samples:
        ids = torch.from_numpy(sample.ids.astype(np.int64))
        with torch.no_grad():
            logits = model.peft_model(input_ids=ids[None], use_cache=False).logits[0]
        is_predicted = logits[:-1].argmax(-1) == ids[1:]
        predicted += int((is_predicted & torch.from_numpy(sample.supervised)[1:]).sum())
    return predicted


@pytest.mark.parametrize("plain_head", [True, False])
def test_the_predicted_tokens_are_those_with_the_largest_of_all_logits(
    load: Load, plain_head: bool
) -> None:
    model = replace(set_nonzero_weights(load()), plain_head=plain_head)
    samples = half_predicted_samples(model)
    batches = pack(samples, 32)

    expected = count_predicted(model, samples)

    assert 0 < expected < supervised_tokens(samples)
    assert sum(int(sum_score(model, batch).correct) for batch in batches) == expected
    assert sum(int(token_score(model, batch).correct.sum()) for batch in batches) == expected


def test_a_head_that_caps_its_logits_uses_the_models_forward_pass(
    load: Load, tmp_path: Path
) -> None:
    make_other(
        Gemma2ForCausalLM,
        tmp_path,
        num_key_value_heads=1,
        head_dim=64,
        final_logit_softcapping=0.5,
        sliding_window=64,
    )
    model = set_nonzero_weights(load(directory=tmp_path))
    samples = ragged_samples(4)
    (batch,) = pack(samples, 4096)

    found = sum_nll(model, batch)
    found.backward()  # type: ignore[no-untyped-call]  # untyped in torch

    assert not model.plain_head
    assert model.packs
    expected = 0.0
    for sample in samples:
        ids = torch.from_numpy(sample.ids.astype(np.int64))
        labels = ids.where(torch.from_numpy(sample.supervised), -100)
        with torch.no_grad():
            logits = model.peft_model(input_ids=ids[None], use_cache=False).logits[0]
        expected += functional.cross_entropy(logits[:-1], labels[1:], reduction="sum").item()
    assert found.item() == pytest.approx(expected, rel=1e-4)
    assert all(p.grad is not None for p in model.adapter_parameters)
