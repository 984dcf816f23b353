"""Attempts that end before training. tests/e2e covers those that train."""

import json
import os
from pathlib import Path

import pytest
import torch

from contracts.attempt import Device, SyncReply, Wanted, WorkerInfo
from contracts.protocol.wire import HELLO_PATH
from tests.worker.supervisor.builders import make_claim
from tests.worker.supervisor.scripted_server import Answer, ScriptedServer, error_answer
from worker.settings import Settings
from worker.supervisor.child.device_guard import DeviceGuard
from worker.supervisor.host.cards.gpu_lock import find_lock_dir, hold_device
from worker.supervisor.host.identity import slot_name
from worker.supervisor.run import run_next

WORKER = WorkerInfo(worker_id="w")
# The job's model does not exist, so the attempt fails in the placing phase.
CLAIMED = Answer(body=make_claim(flush_seconds=10).model_dump_json().encode())
SYNCED = Answer(
    body=SyncReply(wanted=Wanted.CONTINUE, lease_seconds=45, acked_seq=0, acked_output=0)
    .model_dump_json()
    .encode()
)
FINISHED = Answer(body=b'{"job_status": "failed"}')
NOTHING = Answer(204)
PASSES = ("-c", "")
"""The code of a device check that passes."""


def _run(peer: ScriptedServer, tmp_path: Path) -> int:
    settings = Settings(
        server_url=peer.url, worker_token="token", work_dir=tmp_path, hub=False, kept_runs=0
    )
    return run_next(settings, WORKER, os.environ, DeviceGuard(settings, WORKER, os.environ))


def _calls(peer: ScriptedServer) -> list[str]:
    return [request.path.rpartition("/")[2] for request in peer.requests]


def test_a_job_that_cannot_be_placed_fails_and_the_next_one_is_claimed(tmp_path: Path) -> None:
    answers = (CLAIMED, SYNCED, FINISHED, CLAIMED, SYNCED, FINISHED, NOTHING)
    with ScriptedServer(*answers) as peer:
        assert _run(peer, tmp_path) == 2

    assert _calls(peer) == ["claim", "sync", "finish", "claim", "sync", "finish", "claim"]
    outcome = json.loads(peer.requests[2].body)["outcome"]
    assert outcome["failure"]["reason"] == "model_not_found"


def test_an_attempt_whose_sync_is_rejected_ends_as_crashed(tmp_path: Path) -> None:
    with ScriptedServer(CLAIMED, error_answer(400, "invalid_field"), FINISHED, NOTHING) as peer:
        assert _run(peer, tmp_path) == 1

    outcome = json.loads(peer.requests[2].body)["outcome"]
    assert outcome["failure"]["reason"] == "crashed"
    assert "invalid_field" in outcome["failure"]["detail"]


def test_a_superseded_attempt_sends_no_more_requests(tmp_path: Path) -> None:
    with ScriptedServer(CLAIMED, error_answer(409, "attempt_superseded"), NOTHING) as peer:
        _run(peer, tmp_path)

    assert _calls(peer) == ["claim", "sync", "claim"]


def test_a_ring_runs_no_job_while_the_server_rejects_the_worker(tmp_path: Path) -> None:
    with ScriptedServer(error_answer(401, "unauthorized")) as peer:
        assert _run(peer, tmp_path) == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a usable GPU")
def test_a_worker_whose_gpu_torch_cannot_use_claims_nothing_and_reports_why(tmp_path: Path) -> None:
    worker = WorkerInfo(worker_id="w", device=Device(kind="cuda", uuid="GPU-1"))
    with ScriptedServer(NOTHING) as peer:
        settings = Settings(
            server_url=peer.url, worker_token="t", work_dir=tmp_path, lock_dir=tmp_path / "locks"
        )
        guard = DeviceGuard(settings, worker, os.environ)
        assert run_next(settings, worker, os.environ, guard) == 0

    [hello] = peer.requests
    assert hello.path == HELLO_PATH
    announced = json.loads(hello.body)
    assert announced["idle"] is not None, "earlier attempts on this device have ended"
    check = announced["device_check"]
    assert (check["passed"], check["count"]) == (False, 0)
    assert "GPU-1, but torch cannot use it" in check["reason"]
    idle = json.loads(hello.body)["idle"]
    assert idle is not None, "the worker holds the lock, so its earlier attempts have ended"


def test_a_worker_claims_nothing_while_another_service_uses_its_gpu(tmp_path: Path) -> None:
    worker = WorkerInfo(worker_id="w", device=Device(kind="cuda", uuid="GPU-1"))
    with ScriptedServer(NOTHING) as peer:
        mine, others = (
            Settings(
                server_url=peer.url,
                worker_token="token",
                work_dir=tmp_path / name,
                lock_dir=tmp_path / "locks",
            )
            for name in ("mine", "others")
        )
        guard = DeviceGuard(mine, worker, os.environ, program=PASSES)
        with hold_device(find_lock_dir(others, worker.device), slot_name(worker)):
            assert run_next(mine, worker, os.environ, guard) == 0
        assert peer.requests == []
        run_next(mine, worker, os.environ, guard)

    assert _calls(peer) == ["claim"]
