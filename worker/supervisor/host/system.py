"""Measures the host's load while an attempt trains: GPU through NVML, CPU and memory through /proc, without torch.

Values that cannot be measured are omitted; a failed measurement never fails an attempt.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pynvml

from contracts.attempt import Device

PROC = Path("/proc")


class System:
    """Measures the load at regular intervals while it is open.

    `directory` is on the disk whose free space is measured. Series of the first GPU have no suffix; those of the other
    GPUs end in `.1`, `.2`, …
    """

    def __init__(
        self,
        devices: Sequence[Device],
        pid: int,
        every_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        proc: Path = PROC,
        *,
        directory: Path | None = None,
    ) -> None:
        self._gpus = [device for device in devices if device.kind == "cuda"]
        self._pid = pid
        self._every_seconds = every_seconds
        self._clock = clock
        self._proc = proc
        self._directory = directory
        self._due_at = clock() + every_seconds
        self._ticks = _processor_ticks(proc)
        self._handles: dict[str, Any] = {}
        """NVML handles, keyed by the suffix of the GPU's series."""
        self._is_initialised = False

    def __enter__(self) -> Self:
        if self._gpus:
            with contextlib.suppress(pynvml.NVMLError):
                pynvml.nvmlInit()
                self._is_initialised = True
        if self._is_initialised:
            for number, gpu in enumerate(self._gpus):
                with contextlib.suppress(pynvml.NVMLError):
                    self._handles[f".{number}" if number else ""] = _handle(gpu.uuid)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_initialised:
            with contextlib.suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()

    def look(self) -> dict[str, float]:
        """Return the current measurements; empty if no measurement is due yet."""
        if self._clock() < self._due_at:
            return {}
        self._due_at = self._clock() + self._every_seconds
        found = {
            "sys.cpu_percent": self._cpu_percent(),
            "sys.process_rss_bytes": _resident_bytes(self._proc, self._pid),
            "sys.host_memory_bytes": _used_bytes(self._proc),
            "sys.disk_free_bytes": _free_bytes(self._directory),
        }
        for end, gpu in self._handles.items():
            found |= {f"{name}{end}": _measure(query, gpu) for name, query in GPU_QUERIES.items()}
        return {name: value for name, value in found.items() if value is not None}

    def _cpu_percent(self) -> float | None:
        before, self._ticks = self._ticks, _processor_ticks(self._proc)
        if before is None or self._ticks is None or self._ticks[1] <= before[1]:
            return None
        busy, total = (now - then for now, then in zip(self._ticks, before, strict=True))
        return round(100 * busy / total, 1)


def _processor_ticks(proc: Path) -> tuple[int, int] | None:
    """Return (busy, total) ticks of all processors since boot."""
    try:
        ticks = [int(tick) for tick in (proc / "stat").read_text().split("\n")[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    idle = sum(ticks[3:5])  # idle and iowait
    return sum(ticks) - idle, sum(ticks)


def _resident_bytes(proc: Path, pid: int) -> float | None:
    try:
        pages = int((proc / str(pid) / "statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


def _used_bytes(proc: Path) -> float | None:
    try:
        lines = (proc / "meminfo").read_text().splitlines()
        sizes = {name: int(size.split()[0]) for name, _, size in (x.partition(":") for x in lines)}
        return 1024.0 * (sizes["MemTotal"] - sizes["MemAvailable"])
    except (OSError, ValueError, LookupError):
        return None


def _free_bytes(directory: Path | None) -> float | None:
    """Return the free space of the disk that a directory is on."""
    try:
        return None if directory is None else float(shutil.disk_usage(directory).free)
    except OSError:
        return None


def _handle(uuid: str | None) -> Any:
    if uuid is None:
        return pynvml.nvmlDeviceGetHandleByIndex(0)
    return pynvml.nvmlDeviceGetHandleByUUID(uuid)


def _measure(query: Callable[[Any], float], gpu: Any) -> float | None:
    try:
        return float(query(gpu))
    except pynvml.NVMLError:
        return None  # not every device supports every query


GPU_QUERIES: Mapping[str, Callable[[Any], float]] = {
    "sys.gpu_percent": lambda gpu: pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu,
    "sys.gpu_memory_bytes": lambda gpu: pynvml.nvmlDeviceGetMemoryInfo(gpu).used,
    "sys.gpu_power_watts": lambda gpu: pynvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
    "sys.gpu_celsius": lambda gpu: pynvml.nvmlDeviceGetTemperature(
        gpu, pynvml.NVML_TEMPERATURE_GPU
    ),
    # The name of this function until NVML 12.2. Later drivers and bindings have both names.
    "sys.gpu_throttle_reasons": pynvml.nvmlDeviceGetCurrentClocksThrottleReasons,
}
