"""Errors of transformers over a model's files, as refusals of the model."""

import contextlib
from collections.abc import Iterator

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from contracts.failure import FailureReason
from worker.training.errors import TrainingError

_BAD_FILES = (
    ValueError,
    OSError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    ImportError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,
)
"""What transformers raises over a config.json or weights that do not fit."""


_NOT_THE_MODELS = ("DefaultCPUAllocator", "Cannot allocate memory", "CUDA", "CUBLAS", "cuDNN")
"""Words of errors that are the machine's, whatever their type."""


@contextlib.contextmanager
def refusing(told: str) -> Iterator[None]:
    """Tell what transformers raises over a model as the model's refusal, but want of memory and a GPU's error as such."""
    try:
        yield
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except _BAD_FILES as error:
        if any(words in str(error) for words in _NOT_THE_MODELS):
            raise
        raise TrainingError(
            FailureReason.MODEL_REFUSED, f"{told}: {type(error).__name__}: {error}"
        ) from error
