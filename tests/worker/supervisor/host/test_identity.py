import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from contracts.attempt import Device
from worker.settings import Settings
from worker.supervisor.host.identity import describe_worker, host_id, name_of_card, worker_home

GPU = Device(kind="cuda", name="A100", uuid="GPU-8932f937")

DESCRIBE = """
import sys
from pathlib import Path
from worker.settings import Settings
from worker.supervisor.host.identity import describe_worker
print(describe_worker(Settings(device="cpu", work_dir=Path(sys.argv[1])), {}).worker_id, flush=True)
sys.stdin.read()
"""


def name(work_dir: Path, *, worker_name: str | None = None, is_only_one: bool = True) -> str:
    settings = Settings(work_dir=work_dir, worker_name=worker_name)
    return name_of_card(settings, GPU, is_only_one=is_only_one)


def start_cpu_worker(work_dir: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a process that takes a worker name and keeps it until it is killed; return the process and the name."""
    process = subprocess.Popen(
        [sys.executable, "-c", DESCRIBE, str(work_dir)],
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_worker_in_a_new_container_has_the_name_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "container-1")
    before = name(tmp_path / "work")

    monkeypatch.setattr(socket, "gethostname", lambda: "container-2")

    assert name(tmp_path / "work") == before == f"GPU-8932f937-{host_id(tmp_path / 'work')}"
    assert name(tmp_path / "elsewhere") != before


def test_a_worker_that_has_run_directories_under_a_name_of_an_earlier_version_keeps_that_name(
    tmp_path: Path,
) -> None:
    host = socket.gethostname()
    worker_home(tmp_path, f"{host}-GPU-8932f937").mkdir(parents=True)
    worker_home(tmp_path, f"{host}-cpu").mkdir(parents=True)

    assert name(tmp_path) == f"{host}-GPU-8932f937"
    settings = Settings(device="cpu", work_dir=tmp_path)
    assert describe_worker(settings, {}).worker_id == f"{host}-cpu"


def test_a_name_that_the_user_chose_is_a_prefix_only_if_there_are_several_cards(
    tmp_path: Path,
) -> None:
    assert name(tmp_path, worker_name="north") == "north"
    assert name(tmp_path, worker_name="north", is_only_one=False) == "north-GPU-8932f937"
    assert len(name(tmp_path, worker_name="n" * 200, is_only_one=False)) <= 200


def test_cpu_workers_with_one_work_directory_have_different_names_and_reuse_them(
    tmp_path: Path,
) -> None:
    first, first_name = start_cpu_worker(tmp_path)
    second, second_name = start_cpu_worker(tmp_path)
    end(first)
    third, third_name = start_cpu_worker(tmp_path)
    end(second)
    end(third)

    assert first_name == third_name == f"{host_id(tmp_path)}-cpu"
    assert second_name == f"{host_id(tmp_path)}-2-cpu"


def test_processes_that_start_together_agree_on_the_id_of_their_work_directory(
    tmp_path: Path,
) -> None:
    found: list[str] = []
    barrier = threading.Barrier(8)

    def create() -> None:
        barrier.wait()
        found.append(host_id(tmp_path))

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(found)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["host_id"]
