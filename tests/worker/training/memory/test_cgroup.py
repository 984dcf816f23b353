"""The memory limits of this process's cgroups, read from a directory laid out like /sys/fs/cgroup."""

from pathlib import Path

import pytest

from worker.training.memory.cgroup import memory_groups
from worker.training.memory.host import free_host_bytes, total_host_bytes

MIB = 2**20
NO_LIMIT_V1 = 0x7FFFFFFFFFFFF000


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text(
        f"MemTotal:  {9000 * 1024} kB\nMemAvailable:  {8000 * 1024} kB\n"
    )
    return tmp_path / "proc"


def version_2(directory: Path, limit: str | int, used: int = 0, cached: int = 0) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "memory.max").write_text(f"{limit}\n")
    (directory / "memory.current").write_text(f"{used}\n")
    (directory / "memory.stat").write_text(
        f"anon 7\nfile {10**12}\ninactive_file {cached}\nslab_reclaimable 0\n"
    )


def version_1(directory: Path, limit: int, used: int = 0, cached: int = 0) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (directory / "memory.usage_in_bytes").write_text(f"{used}\n")
    (directory / "memory.stat").write_text(
        f"inactive_file {10**12}\ntotal_rss 7\ntotal_inactive_file {cached}\ntotal_active_file 0\n"
    )


def test_the_nested_group_with_the_least_free_memory_sets_the_limit(
    proc: Path, tmp_path: Path
) -> None:
    (proc / "self" / "cgroup").write_text("0::/system.slice/worker.service/job\n")
    root, slice_ = tmp_path / "fs", tmp_path / "fs" / "system.slice"
    version_2(slice_, limit=4000 * MIB, used=3500 * MIB, cached=100 * MIB)
    version_2(slice_ / "worker.service", limit=3000 * MIB, used=1000 * MIB)
    version_2(slice_ / "worker.service" / "job", limit="max")

    assert free_host_bytes(proc, root) == 600 * MIB
    assert total_host_bytes(proc, root) == 3000 * MIB


def test_limits_of_version_1_are_read(proc: Path, tmp_path: Path) -> None:
    (proc / "self" / "cgroup").write_text("5:cpu,cpuacct:/jobs/one\n4:memory:/jobs/one\n0::/\n")
    memory = tmp_path / "fs" / "memory"
    version_1(memory, NO_LIMIT_V1)
    version_1(memory / "jobs", limit=2000 * MIB, used=1500 * MIB, cached=200 * MIB)
    version_1(memory / "jobs" / "one", limit=1900 * MIB, used=300 * MIB)

    assert free_host_bytes(proc, tmp_path / "fs") == 700 * MIB
    assert total_host_bytes(proc, tmp_path / "fs") == 1900 * MIB


def test_in_a_container_the_mount_may_begin_at_its_own_group(proc: Path, tmp_path: Path) -> None:
    (proc / "self" / "cgroup").write_text("4:memory:/docker/0a1b\n")
    version_1(tmp_path / "fs" / "memory", limit=1000 * MIB, used=400 * MIB)

    assert free_host_bytes(proc, tmp_path / "fs") == 600 * MIB


def test_a_group_outside_the_namespace_is_ignored(proc: Path, tmp_path: Path) -> None:
    (proc / "self" / "cgroup").write_text("0::/../neighbour\n")
    version_2(tmp_path / "neighbour", limit=MIB)
    version_2(tmp_path / "fs", limit=500 * MIB)

    assert [group.limit for group in memory_groups(tmp_path / "fs", proc)] == [500 * MIB]
    assert free_host_bytes(proc, tmp_path / "fs") == 500 * MIB


def test_a_group_that_uses_more_than_its_limit_has_nothing_free(proc: Path, tmp_path: Path) -> None:
    version_2(tmp_path / "fs", limit=100 * MIB, used=200 * MIB)

    assert free_host_bytes(proc, tmp_path / "fs") == 0
