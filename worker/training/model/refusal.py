"""Turns transformers' errors about a model's files into MODEL_REFUSED."""

import contextlib
import sys
from collections.abc import Iterator

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
"""Exceptions that transformers raises for an invalid config.json or mismatched weights."""


_MACHINE_ERRORS = ("DefaultCPUAllocator", "Cannot allocate memory", "CUDA", "CUBLAS", "cuDNN")
"""Strings that identify a problem with the machine, regardless of the exception's type."""


@contextlib.contextmanager
def refusing(summary: str) -> Iterator[None]:
    """Raise MODEL_REFUSED for transformers' errors about a model; pass on out-of-memory and GPU errors unchanged."""
    try:
        yield
    except _BAD_FILES as error:
        if _is_of_machine(error):
            raise
        raise TrainingError(
            FailureReason.MODEL_REFUSED, f"{summary}: {type(error).__name__}: {error}"
        ) from error


def _is_of_machine(error: Exception) -> bool:
    torch = sys.modules.get("torch")  # a preview loads a tokenizer without torch
    if torch is not None and isinstance(error, (torch.OutOfMemoryError, torch.AcceleratorError)):
        return True
    return any(words in str(error) for words in _MACHINE_ERRORS)
