import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pynvml
import pytest

from contracts.attempt import Device
from tests.nvml import build_stub, uuid_of, with_gpus
from worker.supervisor.host.system import System

CPU = Device(kind="cpu")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def write_proc(proc: Path, busy: int, idle: int) -> None:
    (proc / "7").mkdir(parents=True, exist_ok=True)
    (proc / "stat").write_text(f"cpu {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1 1 1 1\n")
    (proc / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\n")
    (proc / "7" / "statm").write_text("50 25 3 1 0 9 0\n")


def test_processor_and_memory_use_are_measured_once_per_interval(tmp_path: Path) -> None:
    clock = Clock()
    write_proc(tmp_path, busy=100, idle=100)
    with System([CPU], 7, 5.0, clock, tmp_path) as system:
        assert system.look() == {}
        clock.now = 5.0
        write_proc(tmp_path, busy=130, idle=170)

        assert system.look() == {
            "sys.cpu_percent": 30.0,
            "sys.process_rss_bytes": 25.0 * os.sysconf("SC_PAGE_SIZE"),
            "sys.host_memory_bytes": 600.0 * 1024,
        }
        assert system.look() == {}


def test_values_that_cannot_be_measured_are_omitted(tmp_path: Path) -> None:
    clock = Clock()
    write_proc(tmp_path, busy=1, idle=1)
    device, gone = Device(kind="cuda", uuid="GPU-none"), tmp_path / "gone"
    with System([device], 8, 1.0, clock, tmp_path, directory=gone) as system:
        clock.now = 2.0
        (tmp_path / "meminfo").write_text("nonsense")

        assert (
            system.look() == {}
        )  # no such process, no CPU ticks since the last look, no such GPU, no such directory


def test_this_machine_can_be_measured(tmp_path: Path) -> None:
    clock = Clock()
    with System([CPU], os.getpid(), 1.0, clock, directory=tmp_path) as system:
        clock.now = 2.0
        found = system.look()

    assert 0 < found["sys.disk_free_bytes"] < shutil.disk_usage(tmp_path).total
    assert found["sys.process_rss_bytes"] > 1e6
    assert found["sys.host_memory_bytes"] > 1e6


LOOK = """
import json, os, sys
from contracts.attempt import Device
from worker.supervisor.host.system import System
now = [0.0]
devices = [Device(kind="cuda", uuid=uuid) for uuid in sys.argv[1:]]
with System(devices, os.getpid(), 1.0, lambda: now[0]) as system:
    now[0] = 2.0
    print(json.dumps(system.look()))
"""


def test_each_gpu_of_an_attempt_has_its_own_series_and_a_lost_gpu_has_none(
    tmp_path: Path,
) -> None:
    gpus = [uuid_of(0), uuid_of(1), "lost", uuid_of(3)]
    used = [gpus[3], gpus[2], gpus[0]]

    done = subprocess.run(
        [sys.executable, "-c", LOOK, *used],
        env=os.environ | with_gpus(build_stub(tmp_path), " ".join(gpus)),
        capture_output=True,
        text=True,
        check=True,
    )

    found = {name: value for name, value in json.loads(done.stdout).items() if "gpu" in name}
    assert found == {
        "sys.gpu_percent": 13.0,
        "sys.gpu_memory_bytes": 0.0,
        "sys.gpu_power_watts": 103.0,
        "sys.gpu_celsius": 53.0,
        "sys.gpu_throttle_reasons": float(0x40 << 3),
        "sys.gpu_percent.2": 10.0,
        "sys.gpu_memory_bytes.2": 0.0,
        "sys.gpu_power_watts.2": 100.0,
        "sys.gpu_celsius.2": 50.0,
        "sys.gpu_throttle_reasons.2": float(0x40),
    }


@pytest.mark.gpu
def test_the_load_memory_and_temperature_of_a_gpu_are_measured() -> None:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        pytest.skip("no GPU")
    uuid = pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(0))
    clock = Clock()
    with System([Device(kind="cuda", uuid=uuid)], os.getpid(), 1.0, clock) as system:
        clock.now = 2.0
        found = system.look()

    assert 0 <= found["sys.gpu_percent"] <= 100
    assert found["sys.gpu_memory_bytes"] > 0
    assert 0 < found["sys.gpu_celsius"] < 120
