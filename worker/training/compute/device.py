"""Chooses the device and its compute dtype, and checks whether the device supports 4-bit computation."""

import contextlib
import os
import platform
import resource
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

import bitsandbytes
import torch

from contracts.failure import FailureReason
from worker.training.compute.cuda_errors import is_out_of_memory
from worker.training.errors import Evidence, TrainingError

_PROBE_SIZE = 128
_PROBE_TOLERANCE = 0.2
"""NF4 rounding of random weights causes a relative error of about 0.1; a broken kernel causes 1 or more."""


@dataclass(frozen=True)
class Device:
    """The device of a run."""

    torch_device: torch.device
    name: str
    compute_dtype: torch.dtype
    compute_reason: str
    """Why this dtype was chosen, for the summary."""
    capability: tuple[int, int] = (0, 0)
    """A GPU's compute capability; (0, 0) for a CPU."""

    @property
    def processor(self) -> str:
        """The kind of processor; results may differ between kinds by rounding errors."""
        if self.is_cuda:
            return self.name
        return f"{_processor_name()}, {torch.backends.cpu.get_cpu_capability()}"

    @property
    def is_cuda(self) -> bool:
        """Whether the device is a GPU."""
        return self.torch_device.type == "cuda"

    @property
    def memory_gib(self) -> int:
        """A GPU's memory, rounded because drivers report slightly different sizes. 0 for a CPU, where no choice depends on it."""
        if not self.is_cuda:
            return 0
        return round(torch.cuda.mem_get_info(self.torch_device)[1] / 2**30)

    def autocast(self) -> AbstractContextManager[object]:
        """Compute matrix products of float32 tensors, such as the adapter, in the compute dtype, as transformers' Trainer does."""
        if self.compute_dtype is torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.torch_device.type, dtype=self.compute_dtype)

    def upload(self, tensor: torch.Tensor) -> torch.Tensor:
        """Copy a host tensor to the device without waiting for the device's earlier work.

        On a CPU, return the tensor itself.
        """
        # A non-blocking copy from pageable memory may still wait. torch reuses a pinned block only after the copy.
        source = tensor.pin_memory() if self.is_cuda else tensor
        return source.to(self.torch_device, non_blocking=True)


def choose_device(
    compute: Literal["auto", "bfloat16", "float32"], visible_gpus: str | None, rank: int = 0
) -> Device:
    """Return the GPU of this rank if there are GPUs, else the CPU. `visible_gpus` is the program's CUDA_VISIBLE_DEVICES.

    Call it before anything else uses a GPU: it makes the rank's GPU the current one.
    """
    if torch.cuda.is_available():
        if rank >= torch.cuda.device_count():
            raise TrainingError(
                FailureReason.DEVICE_FAILED,
                f"rank {rank} has no GPU: torch can use {torch.cuda.device_count()} of {visible_gpus}",
                evidence=_device_evidence(),
            )
        device, name = torch.device("cuda", rank), torch.cuda.get_device_name(rank)
        torch.cuda.set_device(device)
    elif visible_gpus not in {None, "", "-1"}:
        raise TrainingError(
            FailureReason.DEVICE_FAILED,
            f"the run was assigned GPU {visible_gpus}, but torch cannot use it. Check the driver and CUDA versions",
            evidence=_device_evidence(),
        )
    else:
        device, name = torch.device("cpu"), _cpu_name()
    if compute == "auto":
        dtype, reason = _fastest_dtype(device)
    else:
        dtype, reason = getattr(torch, compute), "set by quantization.compute_dtype"
    capability = torch.cuda.get_device_capability(device) if device.type == "cuda" else (0, 0)
    return Device(device, name, dtype, reason, capability)


def divide_threads(device: Device, ranks: int) -> None:
    """Give this process its share of the processors if several ranks compute on a CPU and OMP_NUM_THREADS is not set."""
    if ranks > 1 and not device.is_cuda and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // ranks))


def check_four_bit(device: Device) -> None:
    """Compute a small NF4 matrix product, forward and backward, and compare the results with the exact values."""
    try:
        error = _four_bit_error(device)
    except (RuntimeError, OSError, AttributeError, ValueError, NotImplementedError) as problem:
        if is_out_of_memory(problem):  # the GPU works, but another process uses its memory
            raise
        raise TrainingError(
            FailureReason.DEVICE_FAILED,
            f"a small 4-bit matrix product on {device.name} failed: {type(problem).__name__}: {problem}",
            evidence=_device_evidence(),
        ) from problem
    if not error < _PROBE_TOLERANCE:
        raise TrainingError(
            FailureReason.DEVICE_FAILED,
            f"a small 4-bit matrix product on {device.name} had a relative error of {error:.3g}",
            evidence={"relative_error": error, **_device_evidence()},
        )


def peak_memory_bytes(device: Device) -> int:
    """Return the run's peak memory in bytes: GPU memory, or resident host memory."""
    if device.is_cuda:
        return torch.cuda.max_memory_allocated(device.torch_device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that affect the results."""
    names = ("torch", "transformers", "peft", "bitsandbytes", "tokenizers", "stepline")
    versions = {name: _version(name) for name in names}
    versions["python"] = platform.python_version()
    if torch.version.cuda:
        versions["cuda"] = torch.version.cuda
    return versions


def _four_bit_error(device: Device) -> float:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(_PROBE_SIZE, _PROBE_SIZE, generator=generator)
    inputs = torch.randn(8, _PROBE_SIZE, generator=generator)
    layer = bitsandbytes.nn.Linear4bit(
        _PROBE_SIZE,
        _PROBE_SIZE,
        bias=False,
        compute_dtype=device.compute_dtype,
        quant_type="nf4",
        compress_statistics=True,
    )
    layer.weight = bitsandbytes.nn.Params4bit(
        weight.clone(), requires_grad=False, quant_type="nf4", compress_statistics=True
    )
    layer = layer.to(device.torch_device)
    placed = inputs.clone().to(device.torch_device, device.compute_dtype).requires_grad_()
    product = layer(placed)
    product.backward(torch.ones_like(product))
    if placed.grad is None:
        raise RuntimeError("the 4-bit layer passed no gradient to its input")
    forward = _relative_error(product, inputs @ weight.T)
    backward = _relative_error(placed.grad, weight.sum(dim=0).expand_as(inputs))
    return max(forward, backward)


def _relative_error(found: torch.Tensor, exact: torch.Tensor) -> float:
    return float((found.detach().float().cpu() - exact).norm() / exact.norm())


def _fastest_dtype(device: torch.device) -> tuple[torch.dtype, str]:
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device) >= (8, 0):
            return torch.bfloat16, "the GPU supports bfloat16 (compute capability 8.0 or later)"
        return torch.float32, "the GPU does not support bfloat16, and float16 overflows on Qwen2"
    if torch.cpu.get_capabilities().get("amx_bf16", False):
        return torch.bfloat16, "the CPU has bfloat16 matrix units (AMX)"
    # AVX512-BF16 alone does not help: 384 tokens through an 896 × 4864 layer took 16.9 ms in bfloat16 and 11.0 ms in float32.
    return (
        torch.float32,
        "the CPU has no bfloat16 matrix units, so float32 is faster, and it is more precise",
    )


def _cpu_name() -> str:
    threads = torch.get_num_threads()
    return f"{_processor_name()} CPU, {threads} {'thread' if threads == 1 else 'threads'}"


def _processor_name() -> str:
    return str(torch.cpu.get_capabilities().get("cpu_name") or platform.machine())


def _device_evidence() -> Evidence:
    evidence: Evidence = dict(library_versions())
    evidence["cuda_available"] = torch.cuda.is_available()
    return evidence


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "unknown"
