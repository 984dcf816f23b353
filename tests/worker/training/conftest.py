"""Fixtures for the training tests: one thread, no network."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from contracts.job import JobSpec
from tests.factories import make_spec
from worker.training.__main__ import prepare_environment
from worker.training.compute.device import choose_device
from worker.training.model.load import load_model
from worker.training.model.tokenizer import load_tokenizer
from worker.training.model.trainable import TrainableModel

prepare_environment()


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer(tiny_model: Path) -> object:
    return load_tokenizer(tiny_model)


@pytest.fixture
def load(tiny_model: Path) -> Callable[..., TrainableModel]:
    """Return a function that loads a model (by default the tiny one) on the CPU, for a small spec with the given changes."""

    def load_tiny(directory: Path = tiny_model, **changes: object) -> TrainableModel:
        spec = small_spec(**changes)
        return load_model(directory, spec, choose_device("float32", None))

    return load_tiny


def small_spec(**changes: object) -> JobSpec:
    """Return a spec that suits the tiny model."""
    return make_spec(**({"lora": {"rank": 8, "alpha": 16}} | changes))
