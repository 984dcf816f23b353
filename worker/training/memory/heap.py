"""How the C library's heap keeps freed memory: it decides how much of the host's memory a run on a CPU takes."""

import contextlib
import ctypes
from collections.abc import Iterator

from worker.training.compute.device import Device

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt`, from malloc.h."""
_LOADING_BYTES = 2**20
_TRAINING_BYTES = 32 * 2**20
"""The largest value that glibc reaches when it adjusts the threshold itself."""


@contextlib.contextmanager
def returning_freed_memory(device: Device) -> Iterator[None]:
    """While the weights load on a CPU, return freed memory to the system at once; keep it again afterwards.

    glibc places large blocks in the heap once it has seen some freed, and cannot return them while a small block above them
    is in use. Loading converts each weight, so up to a full copy of the weights stayed in the heap, or none: the memory of
    equal runs differed by a gigabyte for 0.5B parameters, and no forecast could be close. A training step allocates the
    same sizes again and again, and is slower if the system must clear each block. Other C libraries and GPUs are not affected.
    """
    libc = ctypes.CDLL(None)
    if device.is_cuda or not hasattr(libc, "mallopt") or not hasattr(libc, "malloc_trim"):
        yield
        return
    libc.mallopt(_MMAP_THRESHOLD, _LOADING_BYTES)
    try:
        yield
    finally:
        libc.malloc_trim(0)
        libc.mallopt(_MMAP_THRESHOLD, _TRAINING_BYTES)
        libc.mallopt(_TRIM_THRESHOLD, 2 * _TRAINING_BYTES)  # as glibc does
