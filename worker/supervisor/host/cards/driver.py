"""Checks, without torch, that the NVIDIA driver of this host supports the CUDA version that torch was built for."""

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pynvml

OLDEST_DRIVERS: Mapping[int, str] = MappingProxyType({12: "525.60.13", 13: "580.65.06"})
"""For each major version of CUDA, the oldest Linux driver that supports it (CUDA Toolkit release notes)."""
_CUDA = re.compile(r"^cuda\b[^=]*=\s*['\"](\d+)\.(\d+)", re.MULTILINE)


class DriverTooOld(Exception):
    """The driver does not support the CUDA version of the installed torch."""


def check_driver() -> str | None:
    """Return why torch cannot use this host's GPUs although the driver works, or None. Raises DriverTooOld and NVMLError.

    A driver supports every earlier version of CUDA, and every minor version of its own major version.
    """
    needed = torch_cuda()
    if needed is None:
        return (
            "this host has a GPU, but the installed torch was built without CUDA, so jobs would fail. Install PyPI's build of "
            "torch (for Linux, it includes CUDA), or set STEPLINE_DEVICE to cpu"
        )
    pynvml.nvmlInit()
    try:
        supported = int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
        driver = pynvml.nvmlSystemGetDriverVersion()
    finally:
        pynvml.nvmlShutdown()
    major, minor = needed
    if supported // 1000 < major:
        oldest = OLDEST_DRIVERS.get(major)
        install = f"driver {oldest} or later" if oldest else f"a driver that supports CUDA {major}"
        raise DriverTooOld(
            f"the NVIDIA driver {driver} supports CUDA {supported // 1000}.{supported % 1000 // 10}, but the installed torch needs "
            f"CUDA {major}.{minor}. Install {install} on this host"
        )
    return None


def torch_cuda() -> tuple[int, int] | None:
    """Return the CUDA version of the installed torch, or None if torch is missing or was built without CUDA."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return None
    try:
        version = _CUDA.search((Path(found.origin).parent / "version.py").read_text())
    except OSError:
        return None
    return (int(version.group(1)), int(version.group(2))) if version else None
