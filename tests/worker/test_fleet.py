"""The parent process of a host's workers, with small programs in place of the workers."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.attempt import Device
from tests.programs.processes import marked, wait_until_gone
from tests.programs.waiting import wait_for
from worker import fleet
from worker.fleet import LONGEST_BACKOFF_SECONDS, Worker
from worker.supervisor.host.cards.gpu_lock import try_lock

RUN = """
import sys
from pathlib import Path
from contracts.attempt import Device
from worker import fleet
from worker.logs import configure_logging
from worker.settings import Settings
configure_logging()
directory = Path(sys.argv[1])
fleet.PROGRAM = (sys.executable, "-c", sys.argv[2])
devices = [Device(kind="cuda", uuid=uuid) for uuid in ("GPU-1", "GPU-2")]
fleet.Fleet(Settings(work_dir=directory), devices, directory / "locks", fleet.os.environ).run()
"""
STUBBORN = """
import os, signal, time
seen = []
def say(*words):
    os.write(1, (" ".join([os.environ["CUDA_VISIBLE_DEVICES"], *map(str, words)]) + "\\n").encode())
def note(number, frame):
    seen.append(number)
    say("got", number)  # print would fail if the signal had interrupted another print
signal.signal(signal.SIGTERM, note)
signal.signal(signal.SIGINT, note)
say("is up", os.environ["STEPLINE_DEVICE"], "STEPLINE_GPUS" in os.environ)
while len(seen) < 2:
    time.sleep(0.02)  # signal.pause would miss a signal that arrives just before it
"""


BORROWER = """
import os, sys, time
from pathlib import Path
from contracts.attempt import Device, WorkerInfo
from worker.supervisor.host.identity import describe_worker, slug
from worker.supervisor.host.siblings import FLEET, list_siblings
uuid = os.environ["CUDA_VISIBLE_DEVICES"]
worker = WorkerInfo(worker_id="x", device=Device(kind="cuda", uuid=uuid), host_id=os.environ[FLEET])
known = None
while True:
    found = [each.uuid for each in list_siblings(Path(sys.argv[1]), worker, slug(uuid))]
    if found != known:
        known = found
        os.write(1, f"{uuid} may borrow {found}\\n".encode())
    time.sleep(0.02)
"""


STUCK = """
import os, signal, sys
from pathlib import Path
from worker.supervisor.host.claim_turn import ClaimTurn, turn_path
from worker.supervisor.host.siblings import FLEET
uuid, marker = os.environ["CUDA_VISIBLE_DEVICES"], Path(sys.argv[1]) / "has-started"
if uuid == "GPU-1" and not marker.exists():
    marker.touch()
    path = turn_path(Path(sys.argv[1]) / "locks", os.environ[FLEET])
    assert ClaimTurn(path, os.environ["STEPLINE_WORKER_NAME"], 60).take()
    os.kill(os.getpid(), signal.SIGSTOP)
if uuid == "GPU-1":
    os.write(1, b"GPU-1 is up again\\n")
signal.pause()
"""


def wait_for_count(printed: Path, text: str, count: int) -> None:
    wait_for(lambda: printed.read_text().count(text) == count, printed.read_text)


def wait_for_exit(worker: Worker, now: float) -> int:
    statuses: list[int] = []

    def has_exited() -> bool:
        if (status := worker.reap(now)) is not None:
            statuses.append(status)
        return bool(statuses)

    wait_for(has_exited)
    return statuses[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_each_stop_signal_is_forwarded_once_and_the_parent_waits_for_all_workers(
    tmp_path: Path, number: signal.Signals
) -> None:
    printed = tmp_path / "printed"
    environment = os.environ | marked(str(tmp_path)) | {"STEPLINE_GPUS": "0,1"}
    with printed.open("wb") as output:
        parent = subprocess.Popen(
            [sys.executable, "-c", RUN, str(tmp_path), STUBBORN],
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        for gpu in ("GPU-1", "GPU-2"):
            wait_for_count(printed, f"{gpu} is up cuda False", 1)
        for count in (1, 2):
            assert parent.poll() is None
            parent.send_signal(number)
            wait_for_count(printed, f" got {number}\n", 2 * count)
        assert parent.wait(30) == 0
        wait_until_gone(str(tmp_path), tmp_path, 10)
        assert list(tmp_path.rglob("alive_parents/*/*")) == []
    finally:
        parent.kill()
        parent.wait()


def test_a_worker_may_borrow_only_the_cards_that_its_parent_process_holds(
    tmp_path: Path,
) -> None:
    printed = tmp_path / "printed"
    held = try_lock(tmp_path / "locks" / "GPU-2.card")
    assert held is not None
    program = BORROWER.replace("sys.argv[1]", repr(str(tmp_path / "locks")))
    with printed.open("wb") as output:
        parent = subprocess.Popen(
            [sys.executable, "-c", RUN, str(tmp_path), program],
            env=os.environ | marked(str(tmp_path)),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_for_count(printed, "GPU-1 may borrow []", 1)
        assert "GPU-2 may" not in printed.read_text()

        os.close(held)
        wait_for_count(printed, "GPU-1 may borrow ['GPU-2']", 1)
        wait_for_count(printed, "GPU-2 may borrow ['GPU-1']", 1)
    finally:
        parent.terminate()
        parent.wait(30)


def test_a_worker_that_keeps_exiting_is_restarted_after_growing_delays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet, "PROGRAM", (sys.executable, "-c", "raise SystemExit(3)"))
    worker = Worker("w", Device(kind="cuda", uuid="GPU-1"), os.environ)
    delays = []

    for now in (0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 10_000.0):
        worker.start_if_due(now)
        assert worker.is_running, "the delay is over"
        assert wait_for_exit(worker, now) == 3
        delays.append(worker.restart_seconds(now))
        worker.start_if_due(now)
        assert not worker.is_running, "the worker waits before it is restarted"

    assert delays == [1, 2, 4, 8, 16, LONGEST_BACKOFF_SECONDS, 1]


def test_the_processes_of_a_worker_that_exits_are_killed_before_it_is_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])"
    monkeypatch.setattr(fleet, "PROGRAM", (sys.executable, "-c", code))
    environment = os.environ | marked(str(tmp_path))
    worker = Worker("w", Device(kind="cuda", uuid="GPU-1"), environment)

    worker.start_if_due(0)
    assert wait_for_exit(worker, 0) == 0

    wait_until_gone(str(tmp_path), tmp_path, 10)


def test_the_parent_process_imports_neither_celery_nor_torch() -> None:
    code = "import sys, worker.fleet; print([n for n in ('celery', 'kombu', 'torch', 'httpx2') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_worker_that_keeps_its_turn_to_claim_is_killed_and_restarted(tmp_path: Path) -> None:
    printed = tmp_path / "printed"
    # The fleet has set the id of the host before it starts a worker.
    run = RUN.replace(
        "fleet.PROGRAM =", "fleet.longest_turn_seconds = lambda _: 0.5\nfleet.PROGRAM ="
    )
    run = run.replace("fleet.Fleet(", "fleet.CARD_SECONDS = 0.2\nfleet.Fleet(")
    program = STUCK.replace("sys.argv[1]", repr(str(tmp_path)))
    with printed.open("wb") as output:
        parent = subprocess.Popen(
            [sys.executable, "-c", run, str(tmp_path), program],
            env=os.environ | marked(str(tmp_path)) | {"STEPLINE_WORKER_NAME": "w"},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_for_count(printed, "GPU-1 is up again", 1)
        assert "killing a worker that has held its turn to claim" in printed.read_text()
        assert printed.read_text().count("started a worker") == 3, "the other worker continues"
    finally:
        parent.terminate()
        parent.wait(30)
