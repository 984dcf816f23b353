"""Lanes against scripted servers: when a worker asks for errands, and how it handles rejections."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from contracts.protocol.wire import ERRAND_CLAIM_PATH
from tests.programs.waiting import wait_for
from tests.worker.supervisor.scripted_server import (
    Answer,
    ScriptedServer,
    error_answer,
    proxy_answer,
)
from worker.settings import Settings
from worker.supervisor.errands.lane import Lane

REQUEST = {
    "kind": "preview",
    "dataset_id": "ds_00000000",
    "model": "absent",
    "rows": [0],
    "max_length": 64,
}
CLAIM = Answer(
    body=json.dumps(
        {"errand_id": "errand_1", "token": "t", "lease_seconds": 20, "request": REQUEST}
    ).encode(),
    headers={"Content-Type": "application/json"},
)


@contextmanager
def running(url: str, directory: Path, hello: threading.Event) -> Iterator[Lane]:
    settings = Settings(
        server_url=url, worker_token=SecretStr("w"), models_dir=directory, hub=False
    )
    lane = Lane(settings, "worker-1", {}, "preview", hello, lambda: None)
    thread = threading.Thread(target=lane.run)
    thread.start()
    try:
        yield lane
    finally:
        lane.stop.set()
        thread.join()


def test_a_server_that_does_not_support_errands_is_asked_once_after_each_hello(
    tmp_path: Path,
) -> None:
    hello = threading.Event()
    with (
        ScriptedServer(error_answer(404, "unknown_path")) as peer,
        running(peer.url, tmp_path, hello),
    ):
        for count in (1, 2):
            hello.set()
            wait_for(lambda: not hello.is_set())
            assert len(peer.requests) == count

    (path,) = {request.path for request in peer.requests}
    assert path == ERRAND_CLAIM_PATH


def test_an_errand_is_run_and_its_end_delivered_even_after_a_failed_delivery(
    tmp_path: Path,
) -> None:
    hello = threading.Event()
    hello.set()
    ends = error_answer(404, "unknown_path")
    with (
        ScriptedServer(CLAIM, proxy_answer(502), Answer(204), ends) as peer,
        running(peer.url, tmp_path, hello),
    ):
        wait_for(lambda: not hello.is_set())

    claim, failed, delivered, _ = peer.requests
    assert json.loads(claim.body) == {
        "worker_id": "worker-1",
        "kinds": ["preview", "preview_revision"],
        "models": [],
        "wait_seconds": 20.0,
    }
    assert failed.path == delivered.path == "/internal/v1/errands/errand_1/finish"
    assert delivered.headers["X-Stepline-Errand-Token"] == "t"
    assert json.loads(delivered.body)["failure"]["reason"] == "model_not_found"
