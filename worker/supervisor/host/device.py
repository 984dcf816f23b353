"""Finds this worker's device without torch: NVML for a GPU, /proc for a CPU."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pynvml

from contracts.attempt import Device


class DeviceMissing(Exception):
    """The device that the settings require is not available."""


def find_device(requested: Literal["auto", "cuda", "cpu"], environ: Mapping[str, str]) -> Device:
    """Return this worker's device: the first GPU that CUDA_VISIBLE_DEVICES leaves visible, or the CPU."""
    if requested == "cpu":
        return _cpu()
    try:
        gpu = _gpu(environ.get("CUDA_VISIBLE_DEVICES"))
    except pynvml.NVMLError as error:
        if requested == "cuda":
            raise DeviceMissing(
                f"STEPLINE_DEVICE is cuda, but NVML reports: {error}. Check the NVIDIA driver."
            ) from error
        return _cpu()
    if gpu is None:
        if requested == "cuda":
            raise DeviceMissing("STEPLINE_DEVICE is cuda, but no GPU is visible to this worker.")
        return _cpu()
    return gpu


def _gpu(visible: str | None) -> Device | None:
    pynvml.nvmlInit()
    try:
        handle = _handle(visible)
        if handle is None:
            return None
        return Device(
            kind="cuda",
            name=_text(pynvml.nvmlDeviceGetName(handle)),
            uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
            memory_bytes=_memory(handle),
        )
    finally:
        pynvml.nvmlShutdown()


def _handle(visible: str | None) -> Any:
    if visible is None:
        count = int(pynvml.nvmlDeviceGetCount())
        return pynvml.nvmlDeviceGetHandleByIndex(0) if count else None
    first = visible.split(",")[0].strip()
    if first.isdigit():
        return pynvml.nvmlDeviceGetHandleByIndex(int(first))
    if first.startswith(("GPU-", "MIG-")):
        return pynvml.nvmlDeviceGetHandleByUUID(first)
    return None  # empty or -1: all GPUs are deliberately hidden


def _memory(handle: Any) -> int:
    try:
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
    except pynvml.NVMLError:
        return 0  # a GPU that shares the host's memory does not report it


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _cpu() -> Device:
    return Device(kind="cpu", name=_cpu_name(), memory_bytes=_host_memory())


def _cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1) if found else os.uname().machine


def _host_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
