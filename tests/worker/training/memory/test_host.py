"""The free memory of the host, within the limit of the container."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from worker.training.memory.host import (
    free_host_bytes,
    loading_bytes,
    mapped_bytes,
    resident_bytes,
    total_host_bytes,
)

KIB = 1024


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal:  9000 kB\nMemAvailable:  5000 kB\n")
    return tmp_path / "proc"


def test_free_memory_is_the_available_memory_of_the_host(proc: Path, tmp_path: Path) -> None:
    assert free_host_bytes(proc, tmp_path / "none") == 5000 * KIB
    assert total_host_bytes(proc, tmp_path / "none") == 9000 * KIB


@pytest.mark.parametrize(("limit", "free", "total"), [("max", 5000, 9000), (4096, 2396, 4096)])
def test_the_limit_of_a_container_reduces_the_free_memory(
    proc: Path, tmp_path: Path, limit: str | int, free: int, total: int
) -> None:
    text = limit if isinstance(limit, str) else str(limit * KIB)
    (tmp_path / "memory.max").write_text(f"{text}\n")
    (tmp_path / "memory.current").write_text(f"{2000 * KIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {300 * KIB}\n")

    assert free_host_bytes(proc, tmp_path) == free * KIB
    assert total_host_bytes(proc, tmp_path) == total * KIB


def test_the_resident_memory_of_this_process_can_be_read() -> None:
    assert 2**24 < resident_bytes() < total_host_bytes()


def test_only_weights_of_the_compute_type_stay_mapped(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1000, dtype=torch.bfloat16)}, tmp_path / "model.safetensors")
    size = (tmp_path / "model.safetensors").stat().st_size

    assert mapped_bytes(tmp_path, torch.bfloat16, kept=500) == size - 500
    assert mapped_bytes(tmp_path, torch.float32, kept=500) == 0
    assert loading_bytes(tmp_path, torch.bfloat16, base=800, kept=500) == size + 300
    assert loading_bytes(tmp_path, torch.float32, base=1300, kept=1000) == size + 1300
