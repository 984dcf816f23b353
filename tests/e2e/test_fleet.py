"""`stepline worker` on a host with several GPUs, which a stub of NVML simulates. No job runs."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cli.part import Part
from tests.e2e.service import Service, wait_for
from tests.nvml import build_stub, uuid_of, with_gpus
from tests.programs.processes import MARK, children_of, environment_of, find_processes
from worker.supervisor.host.cards.gpu_lock import hold_device
from worker.supervisor.host.identity import host_id

GPUS = [uuid_of(number) for number in range(4)]


class Fleets:
    """Starts `stepline worker` processes, each in its own work directory, and lists the workers that the server reports."""

    def __init__(self, service: Service, stub: Path) -> None:
        self.service = service
        self.driver = with_gpus(stub, " ".join(GPUS))

    def settings(self, name: str, **settings: str) -> dict[str, str]:
        return {
            MARK: f"{self.service.mark}-{name}",
            "STEPLINE_DEVICE": "auto",
            "STEPLINE_WORK_DIR": str(self.work_dir(name)),
            "STEPLINE_LOCK_DIR": str(self.service.directory / "gpu-locks"),
            **self.driver,
            **settings,
        }

    def work_dir(self, name: str) -> Path:
        return self.service.directory / f"work-{name}"

    def start(self, name: str, **settings: str) -> Part:
        program = [sys.executable, "-m", "cli.main", "worker"]
        return self.service._start(name, program, self.settings(name, **settings))

    def workers(self, name: str) -> dict[str, Mapping[str, Any]]:
        """Return a fleet's running workers, keyed by the UUID of their GPU."""
        running = self.processes(name)
        listed = self.service.get("/v1/workers")["data"]
        return {each["device"]["uuid"]: each for each in listed if each["pid"] in running}

    def processes(self, name: str) -> dict[int, str]:
        return find_processes(f"{self.service.mark}-{name}", self.work_dir(name))

    def check_health(self, name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "worker.supervisor.alive"],
            env=self.service.environment | {"STEPLINE_WORK_DIR": str(self.work_dir(name))},
            capture_output=True,
            text=True,
            check=False,
        )

    def log(self, name: str) -> str:
        return self.service.parts[name].log.read_text()

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """Send the parent process a signal and check that it ends together with all its workers."""
        part = self.service.parts[name]
        os.kill(part.pid, number)
        wait_for(lambda: not part.is_running, 60, lambda: self.log(name))
        assert part.exit_code == 0
        assert self.processes(name) == {}


@pytest.fixture
def fleets(running_fleets: Fleets) -> Iterator[Fleets]:
    """Yield the fleets of the module's service; stop the ones that the test started."""
    yield running_fleets
    for name, part in running_fleets.service.parts.items():
        if name not in {"broker", "api"}:
            part.stop(lambda: True)


@pytest.fixture(scope="module")
def running_fleets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleets]:
    service = Service(tmp_path_factory.mktemp("service"))
    try:
        service.start_broker()
        service.migrate()
        service.start_api()
        yield Fleets(service, build_stub(tmp_path_factory.mktemp("nvml")))
    finally:
        service.__exit__()


def test_each_of_four_gpus_gets_a_worker_and_a_killed_worker_is_restarted(
    fleets: Fleets,
) -> None:
    fleets.start("four")
    wait_for(lambda: set(fleets.workers("four")) == set(GPUS), 120, lambda: fleets.log("four"))
    wait_for(lambda: fleets.check_health("four").returncode == 0, 30, lambda: fleets.log("four"))

    workers = fleets.workers("four")
    own_id = host_id(fleets.work_dir("four"))
    assert {uuid: each["id"] for uuid, each in workers.items()} == {
        uuid: f"{uuid}-{own_id}" for uuid in GPUS
    }
    for uuid, worker in workers.items():
        assert environment_of(worker["pid"])["CUDA_VISIBLE_DEVICES"] == uuid
        assert worker["device"]["kind"] == "cuda"

    killed = workers[GPUS[2]]
    os.kill(killed["pid"], signal.SIGKILL)

    again: dict[str, Mapping[str, Any]] = {}

    def is_restarted() -> bool:
        again.update(fleets.workers("four"))
        return bool(again.get(GPUS[2], killed)["pid"] != killed["pid"])

    wait_for(is_restarted, 60, lambda: fleets.log("four"))
    assert again[GPUS[2]]["id"] == killed["id"]
    others = [uuid for uuid in GPUS if uuid != GPUS[2]]
    assert [again[uuid]["pid"] for uuid in others] == [workers[uuid]["pid"] for uuid in others]

    fleets.stop("four")


def test_a_surplus_stepline_worker_is_healthy_and_takes_over_a_gpu_that_becomes_free(
    fleets: Fleets,
) -> None:
    fleets.start("first", STEPLINE_GPUS="2")
    wait_for(lambda: bool(fleets.workers("first")), 60, lambda: fleets.log("first"))

    fleets.start("second", STEPLINE_GPUS=GPUS[2][:8], STEPLINE_WORKER_NAME="surplus")
    wait_for(lambda: "hold all cards" in fleets.log("second"), 30, lambda: fleets.log("second"))
    wait_for(
        lambda: fleets.check_health("second").returncode == 0, 30, lambda: fleets.log("second")
    )
    assert fleets.workers("second") == {}

    fleets.stop("first", signal.SIGINT)

    wait_for(lambda: set(fleets.workers("second")) == {GPUS[2]}, 60, lambda: fleets.log("second"))
    assert fleets.workers("second")[GPUS[2]]["id"] == "surplus"
    wait_for(
        lambda: fleets.check_health("second").returncode == 0, 30, lambda: fleets.log("second")
    )
    os.kill(fleets.service.parts["second"].pid, signal.SIGKILL)
    wait_for(lambda: fleets.processes("second") == {}, 30, lambda: fleets.log("second"))


@pytest.mark.slow
def test_a_ring_is_passed_on_while_cards_are_in_use_and_the_workers_continue_once_they_are_free(
    fleets: Fleets,
) -> None:
    fleets.start("busy", STEPLINE_GPUS="0,1")
    wait_for(lambda: len(fleets.workers("busy")) == 2, 120, lambda: fleets.log("busy"))
    lock_dir = fleets.service.directory / "gpu-locks"
    waits = "waiting, because another process uses this worker's card"

    with hold_device(lock_dir, GPUS[0]), hold_device(lock_dir, GPUS[1]):
        fleets.service.ring()
        wait_for(lambda: fleets.log("busy").count(waits) == 2, 60, lambda: fleets.log("busy"))
    # The workers check their cards, which exist only in the stub, before they claim.
    failed = "not claiming, because the device failed its check"
    wait_for(lambda: fleets.log("busy").count(failed) == 2, 120, lambda: fleets.log("busy"))

    with hold_device(lock_dir, GPUS[0]), hold_device(lock_dir, GPUS[1]):
        fleets.service.ring()
        wait_for(lambda: fleets.log("busy").count(waits) == 4, 60, lambda: fleets.log("busy"))
        fleets.stop("busy")  # while both workers wait


def test_stepline_worker_exits_with_a_message_if_a_setting_matches_no_gpu(fleets: Fleets) -> None:
    part = fleets.start("wrong", STEPLINE_GPUS="0,7")

    wait_for(lambda: not part.is_running, 30, lambda: fleets.log("wrong"))

    assert part.exit_code == 1
    assert "STEPLINE_GPUS: '7' matches no GPU" in fleets.log("wrong")
    assert "Traceback" not in fleets.log("wrong")


def test_without_a_gpu_stepline_worker_is_the_only_worker_and_keeps_its_name_after_a_restart(
    fleets: Fleets,
) -> None:
    part = fleets.start("none", STUB_GPUS="")
    wait_for(lambda: bool(fleets.workers("none")), 60, lambda: fleets.log("none"))

    [worker] = fleets.workers("none").values()
    assert worker["pid"] == part.pid
    assert worker["device"]["kind"] == "cpu"
    assert worker["id"] == f"{host_id(fleets.work_dir('none'))}-cpu"

    wait_for(lambda: len(children_of(part.pid)) == 1, 60, lambda: fleets.log("none"))
    os.kill(part.pid, signal.SIGKILL)
    again = fleets.start("none", STUB_GPUS="")
    wait_for(
        lambda: [each["pid"] for each in fleets.workers("none").values()] == [again.pid],
        60,
        lambda: fleets.log("none"),
    )
    assert [each["id"] for each in fleets.workers("none").values()] == [worker["id"]]
    for each in (part, again):
        each.stop(lambda: True)
