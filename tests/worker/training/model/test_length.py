"""Even if position encodings depend on a row's length, the loss of a sample does not depend on other samples."""

from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import HunYuanDenseV1Config, LlamaConfig, Phi3ForCausalLM

from contracts.failure import FailureReason
from tests.tiny_model import make_other
from tests.worker.training.conftest import small_spec
from tests.worker.training.learning.test_loss import ragged_samples
from worker.training.errors import TrainingError
from worker.training.learning.evaluate import evaluate
from worker.training.model.length import check_length
from worker.training.model.trainable import TrainableModel

Load = Callable[..., TrainableModel]


@pytest.mark.parametrize(("max_length", "packs"), [(24, True), (64, False)])
def test_longrope_samples_are_packed_only_if_none_is_long_enough_to_switch_frequencies(
    load: Load, tmp_path: Path, max_length: int, packs: bool
) -> None:
    make_other(
        Phi3ForCausalLM,
        tmp_path,
        pad_token_id=0,
        initializer_range=0.3,
        original_max_position_embeddings=24,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 1e4,
            "factor": 8.0,
            "short_factor": [1.0] * 16,
            "long_factor": [4.0] * 16,
        },
    )
    samples = [s for s in ragged_samples(16) if len(s) <= max_length]

    model = load(directory=tmp_path, training={"max_length": max_length})

    assert model.packs is packs
    alone = evaluate(model, samples, 16, step=0).loss
    assert evaluate(model, samples, 4096, step=0).loss == pytest.approx(alone, rel=1e-5)


def test_dynamic_rope_is_rejected_if_it_would_depend_on_earlier_samples(tmp_path: Path) -> None:
    rope = {"rope_type": "dynamic", "factor": 8.0, "rope_theta": 1e4}
    LlamaConfig(max_position_embeddings=512, rope_parameters=rope).save_pretrained(tmp_path)

    check_length(tmp_path, small_spec(training={"max_length": 512}))
    with pytest.raises(TrainingError) as caught:
        check_length(tmp_path, small_spec(training={"max_length": 513}))

    assert caught.value.failure.reason is FailureReason.SPEC_REFUSED
    assert "Set training.max_length to 512 or less" in caught.value.failure.detail


def test_rope_that_is_dynamic_only_in_name_is_accepted(tmp_path: Path) -> None:
    rope = {"rope_type": "dynamic", "factor": 4.0, "alpha": 1000.0, "rope_theta": 1e4}
    config = HunYuanDenseV1Config(max_position_embeddings=512, rope_parameters=rope)
    config.save_pretrained(tmp_path)

    check_length(tmp_path, small_spec(training={"max_length": 1024}))
