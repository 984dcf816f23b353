from pathlib import Path

from processes.oom import count_oom_kills


def test_with_cgroup_v2_oom_kills_are_read_from_the_workers_own_group(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("0::/job/one\n")
    group = tmp_path / "fs" / "job" / "one"
    group.mkdir(parents=True)
    (group / "memory.events").write_text("low 0\noom 5\noom_kill 3\noom_group_kill 1\n")

    assert count_oom_kills(tmp_path / "fs", membership) == 3


def test_with_cgroup_v1_oom_kills_are_read_from_the_mounted_memory_controller(
    tmp_path: Path,
) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n")
    group = tmp_path / "fs" / "memory"
    group.mkdir(parents=True)
    (group / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")

    assert count_oom_kills(tmp_path / "fs", membership) == 2


def test_oom_kills_count_as_zero_if_the_kernel_does_not_report_them(tmp_path: Path) -> None:
    assert count_oom_kills(tmp_path, tmp_path / "absent") == 0
