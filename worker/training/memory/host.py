"""How much of the device's memory the run can still use, in bytes."""

import re
from pathlib import Path

import torch
from safetensors import safe_open

from worker.training.memory import cgroup
from worker.training.model.files import loaded_shards

_FIELD = r"^{}:?\s+(\d+)"
_NAMES = {torch.bfloat16: "BF16", torch.float32: "F32"}
"""Names of compute types in safetensors files."""


def free_gpu_bytes(device: torch.device) -> tuple[int, int]:
    """Return the free and the total bytes of a GPU, after returning the blocks that torch caches."""
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info(device)
    return free, total


def free_host_bytes(proc: Path = Path("/proc"), root: Path = cgroup.ROOT) -> int:
    """Return the bytes that a process can still allocate, within the limits of its cgroups."""
    free = 1024 * _field(proc / "meminfo", "MemAvailable")
    return min([free, *(group.free for group in cgroup.memory_groups(root, proc))])


def total_host_bytes(proc: Path = Path("/proc"), root: Path = cgroup.ROOT) -> int:
    """Return the host's memory with its swap, or the smallest limit of this process's cgroups if it is lower."""
    total = 1024 * (_field(proc / "meminfo", "MemTotal") + _field(proc / "meminfo", "SwapTotal"))
    return min([total, *(group.limit for group in cgroup.memory_groups(root, proc))])


def resident_bytes(proc: Path = Path("/proc")) -> int:
    """Return this process's resident memory in bytes."""
    return 1024 * _field(proc / "self" / "status", "VmRSS")


def mapped_bytes(directory: Path, dtype: torch.dtype, kept: int) -> int:
    """Return the bytes of the weight files that stay mapped, minus the `kept` bytes of weights that are used in place.

    Weights of the compute type are used in place, and mapped files count as resident memory. Weights of a different
    type are converted, and their files are then closed.
    """
    return max(0, _file_bytes(directory) - kept) if _is_stored_as(directory, dtype) else 0


def loading_bytes(directory: Path, dtype: torch.dtype, base: int, kept: int) -> int:
    """Return the maximum memory that loading takes, in bytes: the mapped files and the base, which takes `base` bytes once loaded.

    The `kept` bytes of weights that are not stored in 4 bits are used in place if the files have the compute type. transformers
    converts and quantizes the weights one by one (without its thread pool if it quantizes while loading), and the heap returns what it frees (`memory/heap.py`).
    """
    in_place = kept if _is_stored_as(directory, dtype) else 0
    return _file_bytes(directory) + base - in_place


def _file_bytes(directory: Path) -> int:
    return sum(shard.stat().st_size for shard in loaded_shards(directory))


def _is_stored_as(directory: Path, dtype: torch.dtype) -> bool:
    stored = set()
    for shard in loaded_shards(directory):
        with safe_open(shard, framework="pt") as weights:
            stored |= {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118 - not a dict
    return _NAMES.get(dtype) in stored


def _field(path: Path, name: str) -> int:
    found = re.search(_FIELD.format(name), path.read_text(), re.MULTILINE)
    return int(found[1]) if found else 0
