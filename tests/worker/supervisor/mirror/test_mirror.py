"""The mirror of an attempt's metrics to W&B: a real process, with a library that records its calls."""

import importlib.util
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.attempt import Claim, Note, Outcome, WorkerInfo
from contracts.base import utc_now
from contracts.failure import FailureReason
from contracts.job import Phase
from contracts.record import EvalRecord, MetricRecord, PhaseRecord, Record, encode_line
from contracts.run.run_dir import RunDir
from tests.programs.waiting import wait_for
from tests.worker.supervisor.builders import hold, make_claim
from tests.worker.supervisor.scripted_server import Answer, ScriptedServer
from worker.settings import Settings
from worker.supervisor import attempt
from worker.supervisor.attempt import Slot
from worker.supervisor.child.device_guard import DeviceGuard
from worker.supervisor.child.stopping import StopFlag
from worker.supervisor.mirror.mirror import Mirror
from worker.supervisor.reporting.notes import Notes
from worker.supervisor.results.deliver import failed
from worker.supervisor.server.client import Server

FAKE = Path(__file__).parent / "fake"
KEY = "key-of-a-test"
RECORDS: list[Record] = [
    PhaseRecord(seq=1, at=utc_now(), phase=Phase.TRAINING),
    EvalRecord(seq=2, at=utc_now(), step=0, loss=3.0, tokens=5, token_accuracy=0.25),
    MetricRecord(seq=3, at=utc_now(), step=1, values={"loss": 2.5, "learning_rate": 0.1}),
    MetricRecord(seq=4, at=utc_now(), step=2, values={"loss": 2.0, "token_accuracy": 0.5}),
]


class Stage:
    """A run directory, the mirrors of its attempt, and the calls of the library."""

    def __init__(self, directory: Path) -> None:
        self.work_dir = directory / "work"
        self.run_dir = RunDir(directory / "run")
        self.run_dir.path.mkdir()
        self.notes = Notes()
        self.mirrors: list[Mirror] = []

    def mirror(self, failure: str = "", *, is_on: bool = True, **run: Any) -> Mirror:
        environ = {"PYTHONPATH": str(FAKE), "WANDB_API_KEY": KEY, "WANDB_FAKE": failure}
        settings = Settings(work_dir=self.work_dir, wandb=is_on)
        claim = make_claim(wandb={"project": "p"} | run)
        self.mirrors.append(Mirror(claim, self.run_dir, settings, environ, self.notes))
        return self.mirrors[-1]

    def write(self, *records: Record) -> None:
        with self.run_dir.records.open("ab") as file:
            file.write(b"".join(encode_line(record) for record in records))

    def calls(self, name: str) -> list[Any]:
        path = self.work_dir / "wandb" / "calls.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        found = [json.loads(line) for line in lines if line.endswith("\n")]
        return [call for call in found if call.pop("call") == name]

    def wait_for_note(self) -> Note:
        wait_for(lambda: bool(self.notes.pending()))
        return self.notes.pending()[-1]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.syspath_prepend(str(FAKE))
    stage = Stage(tmp_path)
    yield stage
    for mirror in stage.mirrors:
        if mirror._process is not None and mirror._process.poll() is None:
            os.killpg(mirror._process.pid, signal.SIGKILL)


def test_all_attempts_of_a_job_send_their_steps_to_one_run_also_after_the_run_directory_is_gone(
    stage: Stage,
) -> None:
    first = stage.mirror(entity="e", name="n", tags=["a"])
    first.start()
    stage.write(*RECORDS[:3])
    wait_for(lambda: len(stage.calls("log")) == 2)
    shutil.rmtree(stage.run_dir.path)
    first.end(failed=True)
    wait_for(lambda: len(stage.calls("finish")) == 1)
    stage.run_dir.path.mkdir()
    stage.write(*RECORDS)
    second = stage.mirror()
    second.start()
    second.end(failed=False)
    wait_for(lambda: len(stage.calls("finish")) == 2)
    wait_for(lambda: len(stage.notes.pending()) == 2)

    assert stage.notes.pending()[0].figures == {"run": "entity/project/id"}
    assert [note.code for note in stage.notes.pending()] == ["wandb_started"] * 2
    evaluated = {"step": 0, "valid_loss": 3.0, "valid_mean_token_accuracy": 0.25}
    steps = [
        {"step": 1, "train_loss": 2.5, "learning_rate": 0.1},
        {"step": 2, "train_loss": 2.0, "train_mean_token_accuracy": 0.5},
    ]
    assert stage.calls("log") == [evaluated, steps[0], evaluated, *steps]
    assert stage.calls("finish") == [{"exit_code": 1}, {"exit_code": 0}]
    given, again = stage.calls("init")
    assert (given["project"], given["entity"], given["name"], given["tags"]) == (
        "p",
        "e",
        "n",
        ["a"],
    )
    assert (again["name"], again["resume"]) == ("ftjob-1", "allow")
    assert given["id"] == again["id"] == "job_1"
    assert given["config"]["model"] == "tiny-qwen2"


def test_the_key_is_in_no_environment(stage: Stage) -> None:
    mirror = stage.mirror()
    mirror.start()
    stage.write(*RECORDS)
    wait_for(lambda: bool(stage.calls("init")))
    mirror.end(failed=False)

    [given] = stage.calls("init")
    assert given["key"] == KEY
    assert KEY not in given["environ"] + json.dumps(given["in_os"])
    assert KEY not in json.dumps(given["config"])


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ("refuse", "RuntimeError: the key *** is wrong"),
        ("crash", "the process ended with exit status 3"),
    ],
)
def test_a_failure_of_the_mirror_becomes_a_note(stage: Stage, failure: str, reason: str) -> None:
    mirror = stage.mirror(failure)
    mirror.start()
    stage.write(*RECORDS)

    note = stage.wait_for_note()

    assert (note.code, note.level, note.figures) == ("wandb_failed", "warning", {"reason": reason})
    assert mirror._process is not None
    assert mirror._process.wait(60) == (3 if failure == "crash" else 1)
    mirror.end(failed=False)


def test_a_run_that_fails_to_start_after_the_end_is_noted_before_the_results_are_delivered(
    stage: Stage,
) -> None:
    mirror = stage.mirror("late")
    mirror.start()
    stage.write(*RECORDS)
    directory = stage.work_dir / "wandb"
    wait_for((directory / "starting").exists)
    mirror.end(failed=False)
    mirror.settle(0)
    assert stage.notes.pending() == []

    (directory / "go").touch()
    mirror.settle(60)

    [note] = stage.notes.pending()
    assert note.figures == {"reason": "RuntimeError: no connection"}


def test_an_attempt_that_has_just_started_delivers_the_failure_of_its_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(FAKE))

    def train(_slot: Slot, _claim: Claim, run_dir: RunDir, _reporter: Any, begin: Any) -> Outcome:
        run_dir.path.mkdir()
        run_dir.records.write_bytes(b"".join(encode_line(record) for record in RECORDS))
        begin()
        return failed(FailureReason.OOM_HOST, "no memory")

    monkeypatch.setattr(attempt, "_train", train)
    monkeypatch.setattr(attempt, "MIRROR_SECONDS", 60.0)
    synced = {"wanted": "continue", "lease_seconds": 45, "acked_seq": 4, "acked_output": 0}
    reply = json.dumps(synced | {"acked_note": 1, "job_status": "failed"}).encode()
    environ = {"PYTHONPATH": str(FAKE), "WANDB_API_KEY": KEY, "WANDB_FAKE": "refuse"}
    worker = WorkerInfo(worker_id="w")
    answer = Answer(body=reply, headers={"Content-Type": "application/json"})
    with ScriptedServer(answer) as peer, Server(peer.url, "token", 0, 0) as server:
        settings = Settings(server_url=peer.url, work_dir=tmp_path, wandb=True)
        slot = Slot(
            settings=settings,
            environ=environ,
            worker=worker,
            cards=(hold(0, home=tmp_path),),
            server=server,
            stop=StopFlag(0),
            guard=DeviceGuard(settings, worker, environ),
        )
        attempt.run_attempt(slot, make_claim(wandb={"project": "p"}))

    bodies = [request.body for request in peer.requests]
    [told] = [n for n, body in enumerate(bodies) if b"the key *** is wrong" in body]
    assert told < len(bodies) - 1
    assert peer.requests[-1].path.endswith("/finish")


def test_the_directories_of_old_runs_are_deleted_and_those_of_new_ones_kept(stage: Stage) -> None:
    wandb = stage.work_dir / "wandb" / "wandb"
    for name in ("offline-run-2", "run-3"):
        (wandb / name).mkdir(parents=True)
    os.utime(wandb / "run-3", (0, 0))
    mirror = stage.mirror()
    mirror.start()
    stage.write(*RECORDS)
    mirror.end(failed=False)

    assert mirror._process is not None
    assert mirror._process.wait(60) == 0
    assert {each.name for each in wandb.iterdir()} == {"offline-run-2", "run-1"}


def test_an_attempt_ends_while_its_mirror_hangs(stage: Stage) -> None:
    mirror = stage.mirror("hang")
    mirror.start()
    stage.write(*RECORDS)
    assert stage.wait_for_note().code == "wandb_started"

    mirror.end(failed=False)
    mirror.end(failed=False)

    assert mirror._process is not None
    assert mirror._process.poll() is None


def test_an_attempt_without_records_starts_no_run(stage: Stage) -> None:
    mirror = stage.mirror()
    mirror.start()
    mirror.end(failed=True)

    assert mirror._process is not None
    assert mirror._process.wait(60) == 0
    assert (stage.calls("init"), stage.notes.pending()) == ([], [])


def test_a_worker_that_cannot_mirror_says_why(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.mirror(is_on=False).start()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    stage.mirror().start()
    claim = make_claim()
    Mirror(claim, stage.run_dir, Settings(), {}, stage.notes).start()

    found = [(note.code, note.figures["reason"]) for note in stage.notes.pending()]
    assert found == [
        ("wandb_unavailable", "STEPLINE_WANDB is not set to true"),
        ("wandb_unavailable", "the Python package wandb is not installed"),
    ]
