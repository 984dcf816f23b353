"""Checks, before the model is loaded, whether torch.compile can find the compiler that it needs."""

import shutil

from contracts.failure import FailureReason
from contracts.job import JobSpec
from worker.training.compute.device import Device
from worker.training.errors import TrainingError


def check_compiler(spec: JobSpec, device: Device) -> None:
    """Reject engine.compile if its compiler is not installed: C++ for CPU kernels, C for the launchers of GPU kernels."""
    if spec.engine.compile is not True:
        return
    language = "C" if device.is_cuda else "C++"
    names = ("gcc", "clang") if device.is_cuda else _cpp_compilers()
    if not any(shutil.which(name) for name in names):
        raise TrainingError(
            FailureReason.SPEC_REFUSED,
            f"engine.compile: torch.compile needs a {language} compiler on this device, but this worker has none "
            f"({' or '.join(names)}). Install one on the worker, or set engine.compile to false",
            evidence={"missing": " or ".join(names)},
        )


def _cpp_compilers() -> tuple[str, ...]:
    from torch._inductor import config  # noqa: PLC0415 - takes a second, and few runs compile

    # The names that torch searches for, including CXX; None means a compiler that torch would download itself.
    found = config.cpp.cxx
    names = found if isinstance(found, list | tuple) else (found,)
    return tuple(name for name in names if name)
