from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from worker.training.compute.device import Device
from worker.training.model.trainable import TrainableModel
from worker.training.report.flops import training_flops, utilisation

Load = Callable[..., TrainableModel]


def test_operations_are_computed_from_parameters_and_tokens(load: Load) -> None:
    model = load()
    layer = 128 * 128 + 2 * 128 * 64 + 128 * 128 + 3 * 128 * 256

    assert model.linear_parameters == 2 * layer
    assert training_flops(model, 10, 0) == 10 * (4 * 2 * layer + 6 * model.trainable_parameters)
    assert training_flops(model, 0, 1) == 4 * 396 * 128


def test_utilisation_is_reported_only_for_known_gpus(load: Load) -> None:
    model = load()
    gpu = Device(torch.device("cuda"), "NVIDIA H100 80GB HBM3", torch.bfloat16, "")

    assert utilisation(replace(model, device=gpu), 98.9e12, 1.0) == pytest.approx(0.1)
    assert utilisation(model, 1e12, 1.0) is None


def test_utilisation_is_not_reported_for_an_unknown_gpu_or_data_type(load: Load) -> None:
    model = load()

    for name, dtype in (
        ("NVIDIA RTX A1000", torch.bfloat16),
        ("NVIDIA A100-SXM4-80GB", torch.float32),
    ):
        gpu = Device(torch.device("cuda"), name, dtype, "")
        assert utilisation(replace(model, device=gpu), 1e12, 1.0) is None, name


def test_the_reference_model_with_rank_64_has_the_parameter_counts_of_the_reference_report(
    tmp_path: Path,
) -> None:
    config = AutoConfig.for_model(
        "qwen2",
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        vocab_size=151_936,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    linear = [
        m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n != "lm_head"
    ]
    adapter = sum(64 * (m.in_features + m.out_features) for m in linear)
    parameters = sum(p.numel() for p in model.parameters())

    assert len(linear) == 168
    assert (adapter, parameters + adapter) == (35_192_832, 529_225_600)
