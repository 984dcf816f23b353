"""Finds the devices of this host without torch: NVML for GPUs, /proc for the CPU."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pynvml

from contracts.attempt import Device
from worker.supervisor.host.cards.gpus import CardNotFound, are_all_hidden, list_cards, select_cards

NO_DRIVER = (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
"""NVML's errors on a host without an NVIDIA driver."""


class DeviceMissing(Exception):
    """The device that the settings require is not available."""


def find_devices(
    requested: Literal["auto", "cuda", "cpu"],
    environ: Mapping[str, str],
    gpus: str | None = None,
) -> list[Device]:
    """Return the cards that STEPLINE_GPUS or CUDA_VISIBLE_DEVICES selects, or the CPU. Raises DeviceMissing.

    `auto` returns the CPU only if there is no NVIDIA driver or no GPU, or if all GPUs are deliberately hidden.
    """
    if requested == "cpu" or (requested == "auto" and are_all_hidden(environ, gpus)):
        return [_cpu()]
    try:
        cards = select_cards(list_cards(), environ, gpus)
    except CardNotFound as error:
        raise DeviceMissing(str(error)) from error
    except pynvml.NVMLError as error:
        if requested == "auto" and error.value in NO_DRIVER:
            return [_cpu()]
        raise DeviceMissing(
            f"STEPLINE_DEVICE is {requested}, but NVML reports: {error}. Check the NVIDIA driver, or set STEPLINE_DEVICE to "
            "cpu to train without a GPU"
        ) from error
    if not cards and requested == "cuda":
        raise DeviceMissing("STEPLINE_DEVICE is cuda, but no GPU is visible to this worker.")
    return [card.device for card in cards] or [_cpu()]


def find_device(
    requested: Literal["auto", "cuda", "cpu"],
    environ: Mapping[str, str],
    gpus: str | None = None,
) -> Device:
    """Return the first device that find_devices returns. Raises DeviceMissing."""
    return find_devices(requested, environ, gpus)[0]


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
