"""Recognizes two kinds of GPU errors, whichever library raised them: out of memory, and a failed device."""

import re
from collections.abc import Iterator

import torch

_OUT_OF_MEMORY = re.compile(
    r"(CUDA|Triton)\b.*\bout of memory|_STATUS_ALLOC_FAILED|Cuda failure \d+ 'out of memory'"
)
"""Out-of-memory messages of CUDA's runtime, Triton, cuBLAS, cuDNN and NCCL, which bypass torch's allocator."""
_JOB_OR_BUILD = re.compile(
    r"_STATUS_(INVALID_VALUE|NOT_SUPPORTED|ARCH_MISMATCH|BAD_PARAM)"
    r"|\bno kernel image\b|\binvalid device function\b|\binvalid configuration argument\b|\bunsupported toolchain\b"
)
"""CUDA errors of invalid or unsupported calls. They do not mean that the device has failed."""
_MAYBE_MEMORY = re.compile(r"CUBLAS_STATUS_(NOT_INITIALIZED|INTERNAL_ERROR)")
"""Errors that cuBLAS often reports if it cannot allocate its workspace. A failed device causes the same errors."""
_DEVICE_FAILURE = re.compile(
    r"^(CUDA error|CUDA driver error|CUDA unknown error|Triton Error \[CUDA\])"
    r"|CUBLAS_STATUS_(EXECUTION_FAILED|INTERNAL_ERROR|MAPPING_ERROR|NOT_INITIALIZED)"
    r"|CUDNN_STATUS_(EXECUTION_FAILED|INTERNAL_ERROR|MAPPING_ERROR|NOT_INITIALIZED)"
    r"|\bCuda failure \d+\b"  # NCCL
    r"|\bGPU is lost\b|\buncorrectable\b.*\bECC\b"
    r"|^No CUDA GPUs are available|^Found no NVIDIA driver|^The NVIDIA driver on your system is too old"
)
"""Messages with which torch, cuBLAS, cuDNN, Triton and NVML report a failed device.

A CUDA error that the job causes, such as a device-side assert, cannot be distinguished from a failed device: in both cases,
every later CUDA call of the process fails. The server fails a job that causes such errors twice.
"""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the GPU ran out of memory."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None


def may_be_out_of_memory(error: BaseException) -> bool:
    """Return whether the work may succeed with less memory. If it then fails with the same error, the device counts as failed."""
    is_maybe = isinstance(error, RuntimeError) and _MAYBE_MEMORY.search(str(error)) is not None
    return is_maybe or is_out_of_memory(error)


def is_device_failure(error: BaseException) -> bool:
    """Return whether this error or one of its causes means that the device failed. Running out of memory does not."""
    return any(_is_device_failure(each) for each in _with_causes(error))


def _is_device_failure(error: BaseException) -> bool:
    if is_out_of_memory(error) or _JOB_OR_BUILD.search(str(error)):
        return False
    if isinstance(error, torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and _DEVICE_FAILURE.search(str(error)) is not None


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, then its cause or context, then the cause or context of that error, and so on."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        yield each
        seen.add(id(each))
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
