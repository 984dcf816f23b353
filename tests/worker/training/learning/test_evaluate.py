import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional

from contracts.failure import FailureReason
from tests.worker.training.learning.test_loss import ragged_samples, set_nonzero_weights
from worker.training.errors import TrainingError
from worker.training.learning.evaluate import Evaluation, evaluate, improvement_interval
from worker.training.model.trainable import TrainableModel

Load = Callable[..., TrainableModel]


def test_the_eval_loss_does_not_depend_on_the_batch_size(load: Load) -> None:
    model = set_nonzero_weights(load(lora={"rank": 8, "dropout": 0.5}))
    samples = ragged_samples(16)

    found = [evaluate(model, samples, budget, step=0).loss for budget in (16, 64, 4096)]

    assert found == pytest.approx([found[0]] * 3, rel=1e-6)


def test_the_eval_loss_is_the_mean_nll_of_the_supervised_tokens(load: Load) -> None:
    model = set_nonzero_weights(load())
    samples = ragged_samples(5)
    result = evaluate(model, samples, 64, step=0)

    total, tokens = 0.0, 0
    for sample, nll in zip(samples, result.row_nll, strict=True):
        ids = torch.from_numpy(sample.ids.astype(np.int64))
        labels = ids.where(torch.from_numpy(sample.supervised), -100)
        with torch.no_grad():
            logits = model.peft_model(input_ids=ids[None], use_cache=False).logits[0]
        row = functional.cross_entropy(logits[:-1], labels[1:], reduction="sum").item()
        assert nll == pytest.approx(row, rel=1e-5)
        total += row
        tokens += sample.supervised_tokens

    assert result.tokens == tokens
    assert result.loss == pytest.approx(total / tokens, rel=1e-6)


def test_a_row_with_a_non_finite_loss_is_an_error_and_is_not_dropped(load: Load) -> None:
    model = load()
    with torch.no_grad():
        model.adapter_parameters[-1].fill_(math.nan)

    with pytest.raises(TrainingError) as caught:
        evaluate(model, ragged_samples(3), 64, step=7)

    assert caught.value.failure.reason is FailureReason.LOSS_NOT_FINITE
    assert caught.value.failure.step == 7
    assert caught.value.failure.evidence["rows"] == 3


def test_the_improvement_interval_contains_the_improvement_and_is_reproducible() -> None:
    random = np.random.default_rng(0)
    tokens = random.integers(5, 50, 200)
    base = Evaluation(tokens * random.normal(3.0, 0.3, 200), tokens, 0.0)
    tuned = Evaluation(base.row_nll - tokens * random.normal(0.5, 0.2, 200), tokens, 0.0)

    interval = improvement_interval(base, tuned, seed=42)

    assert interval.low < base.loss - tuned.loss < interval.high
    assert 0.4 < interval.low < interval.high < 0.6
    assert interval == improvement_interval(base, tuned, seed=42)
