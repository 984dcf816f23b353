"""Which errors are reported as a failed device. A retry of the job on another device can then succeed."""

import pytest
import torch

from contracts.failure import FailureReason
from worker.training.compute.cuda_errors import is_device_failure
from worker.training.failures import failure_of

DEVICE_FAILURES: list[RuntimeError] = [
    torch.AcceleratorError(
        "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronous"
    ),
    torch.AcceleratorError("unspecified launch failure"),
    RuntimeError("CUDA error: uncorrectable ECC error encountered"),
    RuntimeError("CUDA error: unspecified launch failure"),
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("CUDA driver error: device not ready"),
    RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"),
    RuntimeError("CUDA unknown error - this may be due to an incorrectly set up environment"),
    RuntimeError("Found no NVIDIA driver on your system."),
    RuntimeError("NVML: GPU is lost"),
    RuntimeError(
        "NCCL error in: ProcessGroupNCCL.cpp:77, unhandled cuda error\nncclUnhandledCudaError: Call to CUDA function failed.\n"
        "Last error:\nCuda failure 700 'an illegal memory access was encountered'"
    ),
]


@pytest.mark.parametrize("error", DEVICE_FAILURES, ids=str)
def test_a_cuda_error_other_than_out_of_memory_is_reported_as_a_failed_device(
    error: RuntimeError,
) -> None:
    assert failure_of(error).reason is FailureReason.DEVICE_FAILED
    assert failure_of(error).reason.is_retryable


def test_a_failed_device_is_recognised_from_the_cause_of_another_error() -> None:
    cause = RuntimeError("CUDA error: unspecified launch failure")
    explicit, implicit = ValueError("the layer failed"), ValueError("the cleanup failed")
    explicit.__cause__ = implicit
    implicit.__context__ = cause

    assert failure_of(explicit).reason is FailureReason.DEVICE_FAILED


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("shape '[2]' is invalid for input of size 3"), FailureReason.CRASHED),
        (ValueError("CUDA error: quoted by another error"), FailureReason.CRASHED),
        (RuntimeError("the row says: CUDA error"), FailureReason.CRASHED),
        (RuntimeError("Triton Error [CUDA]: out of memory"), FailureReason.OOM_GPU),
        (
            RuntimeError("NCCL error in: init.cc:9\nLast error:\nCuda failure 2 'out of memory'"),
            FailureReason.OOM_GPU,
        ),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasSgemm`"),
            FailureReason.CRASHED,
        ),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasLtMatmul`"),
            FailureReason.CRASHED,
        ),
        (
            torch.AcceleratorError("CUDA error: no kernel image is available for execution"),
            FailureReason.CRASHED,
        ),
    ],
    ids=str,
)
def test_other_errors_are_not_reported_as_a_failed_device(
    error: Exception, reason: FailureReason
) -> None:
    assert failure_of(error).reason is reason


def test_an_error_caused_by_running_out_of_memory_is_not_a_failed_device() -> None:
    error = ValueError("the cleanup failed")
    error.__context__ = torch.AcceleratorError("CUDA error: out of memory")

    assert not is_device_failure(error)
