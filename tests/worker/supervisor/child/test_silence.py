"""A training process that is stopped, or none of whose threads can run, cannot report its own hang; the supervisor ends it."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from contracts.attempt import Outcome, WorkerInfo
from contracts.failure import FailureReason
from contracts.run.run_dir import RunDir
from tests.programs.waiting import wait_for
from tests.worker.supervisor.builders import hold, make_claim, place
from tests.worker.supervisor.scripted_server import Answer, ScriptedServer
from worker.settings import Settings
from worker.supervisor import attempt
from worker.supervisor.attempt import Slot
from worker.supervisor.child.device_guard import DeviceGuard
from worker.supervisor.child.process import start_child
from worker.supervisor.child.silence import Silence
from worker.supervisor.child.stopping import StopFlag
from worker.supervisor.reporting.reporter import Reporter
from worker.supervisor.server.client import Server
from worker.training.rundir.heartbeat import start_heartbeat

STOPS_ITSELF = """
import os, signal, subprocess
print(subprocess.Popen(["sleep", "600"]).pid, flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""
"""Starts another process of its group, as rank 0 starts the other ranks."""


def follow(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch, wanted: str = "continue", **limits: float
) -> Outcome:
    """Follow a training process that stops itself; the server requests `wanted`."""
    monkeypatch.setattr(attempt, "start_child", partial(start_child, program=("-c", STOPS_ITSELF)))
    monkeypatch.setattr(attempt, "Silence", partial(Silence, margin_seconds=0))
    reply = {"wanted": wanted, "lease_seconds": 45, "acked_seq": 0, "acked_output": 0}
    body = json.dumps(reply | {"acked_note": 0, "job_status": "running"}).encode()
    answer = Answer(body=body, headers={"Content-Type": "application/json"})
    worker = WorkerInfo(worker_id="w")
    with ScriptedServer(answer) as peer, Server(peer.url, "token", 0, 0) as server:
        settings = Settings.model_validate(
            {"server_url": peer.url, "work_dir": run_dir.path.parent, "poll_seconds": 0.01} | limits
        )
        guard = DeviceGuard(settings, worker, os.environ)
        card = hold(os.open(os.devnull, os.O_RDONLY))
        slot = Slot(settings, os.environ, worker, (card,), server, StopFlag(0), guard)
        reporter = Reporter(make_claim(), server, run_dir)
        return attempt._follow(slot, run_dir, reporter, lambda: None)


def make_run_dir(directory: Path, ranks: int = 1) -> RunDir:
    return place(RunDir(directory / "att_1"), ranks=ranks)


@pytest.mark.parametrize(("ranks", "rank"), [(1, None), (2, 0)])
def test_a_stopped_training_process_is_killed_with_its_group_and_reported_as_hung(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranks: int, rank: int | None
) -> None:
    run_dir = make_run_dir(tmp_path, ranks)

    outcome = follow(run_dir, monkeypatch, hang_seconds=1)

    assert outcome.failure is not None
    assert outcome.failure.reason is FailureReason.NO_PROGRESS
    assert "T (stopped)" in outcome.failure.detail
    assert outcome.failure.evidence.get("rank") == rank
    assert outcome.failure.detail.startswith("Rank 0: ") == (ranks > 1)
    other = Path("/proc", run_dir.output.read_text().strip())
    wait_for(lambda: not other.exists() or "\tZ" in (other / "status").read_text(), lambda: "")


def test_a_stopped_training_process_of_a_job_that_is_paused_is_paused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"hang_seconds": 1, "control_seconds": 1.3, "term_seconds": 0.1}

    outcome = follow(make_run_dir(tmp_path), monkeypatch, "pause", **limits)

    assert outcome.status == "paused"


class Watched:
    """A run directory that a supervisor looks at every 10 seconds; its limit is 100 seconds."""

    def __init__(self, directory: Path) -> None:
        self.run_dir = make_run_dir(directory)
        self.now = 0.0
        self._silence = Silence(
            os.getpid(), self.run_dir, 0, margin_seconds=100, clock=lambda: self.now
        )

    def is_hung_after(self, looks: int, seconds: float = 10.0) -> bool:
        found: Any = None
        for _ in range(looks):
            self.now += seconds
            found = self._silence.look()
        return found is not None


def test_a_heartbeat_a_record_or_a_row_count_starts_the_limit_anew(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    for path in (watched.run_dir.heartbeat, watched.run_dir.records, watched.run_dir.progress):
        assert not watched.is_hung_after(9)
        path.touch()
    assert not watched.is_hung_after(9)
    os.utime(watched.run_dir.heartbeat, (1, 1))

    assert not watched.is_hung_after(11)
    assert watched.is_hung_after(1)


def test_time_in_which_the_supervisor_itself_was_stopped_does_not_count(tmp_path: Path) -> None:
    watched = Watched(tmp_path)

    assert not watched.is_hung_after(1, seconds=86_400)
    assert watched.is_hung_after(5)


def test_the_heartbeat_is_written_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat"
    ended = start_heartbeat(path, 0.01)
    wait_for(path.exists, lambda: "no heartbeat")
    first = path.stat().st_mtime_ns

    wait_for(lambda: path.stat().st_mtime_ns > first, lambda: "no second heartbeat")
    ended.set()
