"""Which failure an exception of a run becomes."""

import errno
import os
import traceback

from contracts.failure import Failure, FailureReason
from worker.training.compute.cuda_errors import is_device_failure, is_out_of_memory
from worker.training.errors import TrainingError, storable

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors raised when space runs out: a full disk, an exhausted quota, or the file size limit."""
_SHARED = frozenset(
    {
        FailureReason.MODEL_REFUSED,
        FailureReason.DATASET_INVALID,
        FailureReason.DATASET_TOO_SMALL,
        FailureReason.LOSS_NOT_FINITE,
        FailureReason.LOSS_ZERO,
        FailureReason.ADAPTER_FROZEN,
    }
)
"""Reasons that every rank finds at the same time, because all have the same inputs and the same sums."""


def failure_of(error: Exception) -> Failure:
    """Return the typed failure for any exception."""
    if isinstance(error, TrainingError):
        return error.failure
    reason = FailureReason.CRASHED
    if is_out_of_memory(error):
        reason = FailureReason.OOM_GPU
    elif isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
        reason = FailureReason.OOM_HOST
    elif _is_disk_full(error):
        reason = FailureReason.DISK_FULL
    elif is_device_failure(error):
        reason = FailureReason.DEVICE_FAILED
    detail = "".join(traceback.format_exception(error))
    return Failure(reason=reason, detail=storable(detail))


def is_own(failure: Failure) -> bool:
    """Return whether a failure that rank 0 raised concerns this rank: not another one, and not what all ranks share."""
    return failure.reason not in _SHARED and not failure.evidence.keys() & {"rank", "ranks"}


def _is_disk_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in _FULL
    # safetensors and torch wrap the system's error in their own.
    return any(os.strerror(number) in str(error) for number in _FULL)
