import hashlib
import json
from pathlib import Path

import pytest

from contracts.attempt import FinishRequest, Outcome, SyncRequest, Wanted, WorkerInfo
from contracts.protocol.error_codes import STORAGE_FULL
from tests.factories import make_metric
from tests.worker.supervisor.builders import make_claim
from tests.worker.supervisor.scripted_server import (
    Answer,
    ScriptedServer,
    error_answer,
    proxy_answer,
)
from worker.supervisor.server.answers import RecordsMissing, Refused, ServerUnavailable, Superseded
from worker.supervisor.server.client import Server, is_loopback

WORKER = WorkerInfo(worker_id="w")
SYNCED = Answer(
    body=b'{"wanted": "cancel", "lease_seconds": 45, "acked_seq": 3, "acked_output": 0}'
)


def _server(url: str) -> Server:
    return Server(url, "worker-token", 60, 60, _no_wait)


def _no_wait(_seconds: float) -> None: ...


def test_a_claim_sends_the_worker_token_and_returns_none_if_no_job_is_queued() -> None:
    with ScriptedServer(Answer(204)) as peer, _server(peer.url) as server:
        assert server.claim(WORKER) is None

    assert peer.requests[0].path == "/internal/v1/claim"
    assert peer.requests[0].headers["Authorization"] == "Bearer worker-token"
    assert json.loads(peer.requests[0].body)["worker"]["worker_id"] == "w"


def test_a_sync_sends_the_token_of_its_attempt() -> None:
    with ScriptedServer(SYNCED) as peer, _server(peer.url) as server:
        reply = server.sync(make_claim(), SyncRequest())

    assert reply.wanted is Wanted.CANCEL
    assert peer.requests[0].path == "/internal/v1/attempts/att_1/sync"
    assert peer.requests[0].headers["Authorization"] == "Bearer secret-of-the-attempt"


def test_pauses_between_retries_are_shorter_than_the_lease() -> None:
    pauses: list[float] = []
    ended = Answer(body=b'{"job_status": "cancelled"}')
    with (
        ScriptedServer(*[error_answer(503, "database_unavailable")] * 8, ended) as peer,
        Server(peer.url, "t", 60, 60, pauses.append) as server,
    ):
        request = FinishRequest(outcome=Outcome(status="cancelled"), last_seq=3)
        server.finish(make_claim(lease_seconds=3), request)

    assert len(pauses) == 8
    assert max(pauses) < 3 / 2


def test_an_unavailable_server_is_retried_with_growing_pauses() -> None:
    pauses: list[float] = []
    answers = [
        error_answer(503, "database_unavailable"),
        Answer(cut=True),
        error_answer(429, "busy", Retry_After="3"),
    ]
    with (
        ScriptedServer(*answers, Answer(204)) as peer,
        Server(peer.url, "t", 60, 60, pauses.append) as server,
    ):
        assert server.claim(WORKER) is None

    assert len(pauses) == 3
    assert pauses[0] < pauses[1]
    assert pauses[2] == 3


def test_retries_end_when_the_time_limit_is_reached() -> None:
    with Server("http://127.0.0.1:9", "t", 0, 0) as server, pytest.raises(ServerUnavailable):
        server.claim(WORKER)


def test_a_failed_sync_is_not_retried() -> None:
    with (
        ScriptedServer(error_answer(503, "database_unavailable")) as peer,
        _server(peer.url) as server,
        pytest.raises(ServerUnavailable),
    ):
        server.sync(make_claim(), SyncRequest())
    assert len(peer.requests) == 1


def test_a_rejected_request_is_not_retried() -> None:
    with (
        ScriptedServer(error_answer(401, "unauthorized")) as peer,
        _server(peer.url) as server,
        pytest.raises(Refused, match="unauthorized"),
    ):
        server.claim(WORKER)
    assert len(peer.requests) == 1


def test_a_request_is_abandoned_after_it_fails_five_times_with_status_500() -> None:
    with (
        ScriptedServer(error_answer(500, "internal_error")) as peer,
        _server(peer.url) as server,
        pytest.raises(Refused),
    ):
        server.claim(WORKER)
    assert len(peer.requests) == 5


def test_a_request_is_not_retried_if_the_response_forbids_it() -> None:
    answer = error_answer(503, "read_only", X_Should_Retry="false")
    with ScriptedServer(answer) as peer, _server(peer.url) as server, pytest.raises(Refused):
        server.claim(WORKER)
    assert len(peer.requests) == 1


def test_a_finish_is_retried_while_the_server_does_not_allow_the_requests_host_name() -> None:
    misdirected = Answer(
        421, error_answer(421, "host_not_allowed").body, {"X-Should-Retry": "false"}
    )
    ended = Answer(body=b'{"job_status": "succeeded"}')
    with ScriptedServer(misdirected, misdirected, ended) as peer, _server(peer.url) as server:
        request = FinishRequest(outcome=Outcome(status="cancelled"), last_seq=3)
        assert server.finish(make_claim(), request).job_status == "succeeded"

    with (
        ScriptedServer(misdirected) as peer,
        _server(peer.url) as server,
        pytest.raises(ServerUnavailable, match="host_not_allowed"),
    ):
        server.hello(WORKER)


@pytest.mark.parametrize(
    ("code", "kind"), [("attempt_superseded", Superseded), ("records_missing", RecordsMissing)]
)
def test_each_kind_of_attempt_conflict_raises_its_own_error(code: str, kind: type[Refused]) -> None:
    request = FinishRequest(outcome=Outcome(status="cancelled"), last_seq=3)
    with (
        ScriptedServer(error_answer(409, code)) as peer,
        _server(peer.url) as server,
        pytest.raises(kind),
    ):
        server.finish(make_claim(), request)


def test_a_failed_upload_is_sent_again_in_full(tmp_path: Path) -> None:
    path = tmp_path / "adapter.zip"
    path.write_bytes(b"x" * 3_000_000)
    beats: list[int] = []
    with (
        ScriptedServer(error_answer(503, "database_unavailable"), Answer(201)) as peer,
        _server(peer.url) as server,
    ):
        server.upload(make_claim(), "adapter.zip", path, lambda: beats.append(1))

    assert [len(request.body) for request in peer.requests] == [3_000_000] * 2
    assert peer.requests[1].path == "/internal/v1/attempts/att_1/artifacts/adapter.zip"
    assert (
        peer.requests[1].headers["X-Stepline-Sha256"]
        == hashlib.sha256(path.read_bytes()).hexdigest()
    )
    assert len(beats) >= 6


def test_a_download_is_repeated_until_its_hash_matches(tmp_path: Path) -> None:
    sha256 = hashlib.sha256(b"rows").hexdigest()
    target = tmp_path / "train.jsonl"
    with (
        ScriptedServer(Answer(body=b"half"), Answer(body=b"rows")) as peer,
        _server(peer.url) as server,
    ):
        server.download(make_claim(), "ds_1", sha256, target, lambda: None)

    assert target.read_bytes() == b"rows"
    assert peer.requests[0].path == "/internal/v1/attempts/att_1/datasets/ds_1"


PATIENT_CALLS = {
    "claim": Answer(204),
    "upload": Answer(201),
    "finish": Answer(body=b'{"job_status": "cancelled"}'),
    "earlier records": Answer(body=b'{"acked_seq": 3}'),
    "download": Answer(body=b"rows"),
}


@pytest.mark.parametrize("call", PATIENT_CALLS)
def test_calls_are_retried_while_a_proxy_responds_instead_of_the_server(
    call: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    claim, sha256 = make_claim(), hashlib.sha256(b"rows").hexdigest()
    ended = FinishRequest(outcome=Outcome(status="cancelled"), last_seq=3)
    from_proxy = [proxy_answer(status) for status in (404, 302, 500, 200, 200, 200, 200, 200)]
    with ScriptedServer(*from_proxy, PATIENT_CALLS[call]) as peer, _server(peer.url) as server:
        match call:
            case "claim":
                assert server.claim(WORKER) is None
            case "upload":
                server.upload(claim, "adapter.zip", path, lambda: None)
            case "finish":
                assert server.finish(claim, ended).job_status == "cancelled"
            case "earlier records":
                assert server.hand_in_earlier(claim, 1, [make_metric(3)]) == 3
            case _:
                server.download(claim, "ds_1", sha256, path, lambda: None)
                assert path.read_bytes() == b"rows"

    assert len(peer.requests) == 9


@pytest.mark.parametrize("status", [200, 302, 404])
def test_the_error_for_a_hello_answered_by_another_server_contains_the_status(status: int) -> None:
    with (
        ScriptedServer(proxy_answer(status)) as peer,
        _server(peer.url) as server,
        pytest.raises(ServerUnavailable, match=str(status)),
    ):
        server.hello(WORKER)


def test_only_a_response_of_the_server_has_an_error_code() -> None:
    page = Answer(503, b"<p>storage_full</p>")
    with ScriptedServer(page, error_answer(507, "storage_full")) as peer:
        for code in (None, STORAGE_FULL):
            with _server(peer.url) as server, pytest.raises(ServerUnavailable) as caught:
                server.hello(WORKER)
            assert caught.value.code == code


def test_an_upload_that_is_too_large_for_a_proxy_is_not_retried(tmp_path: Path) -> None:
    path = tmp_path / "adapter.zip"
    path.write_bytes(b"x")
    with (
        ScriptedServer(proxy_answer(413)) as peer,
        _server(peer.url) as server,
        pytest.raises(Refused, match="body_too_large"),
    ):
        server.upload(make_claim(), "adapter.zip", path, lambda: None)
    assert len(peer.requests) == 1


def test_a_413_from_a_proxy_is_temporary_for_a_sync_but_final_for_earlier_records() -> None:
    with ScriptedServer(proxy_answer(413)) as peer, _server(peer.url) as server:
        with pytest.raises(ServerUnavailable):
            server.sync(make_claim(), SyncRequest())
        with pytest.raises(Refused, match="body_too_large"):
            server.hand_in_earlier(make_claim(), 1, [make_metric(3)])


@pytest.mark.parametrize(
    "body",
    [b'{"error": {"code": 404, "message": "no"}}', b'{"error": "not found"}', b"[" * 100_000],
)
def test_an_error_from_another_service_does_not_count_as_a_rejection(body: bytes) -> None:
    with (
        ScriptedServer(Answer(404, body)) as peer,
        _server(peer.url) as server,
        pytest.raises(ServerUnavailable, match="404"),
    ):
        server.sync(make_claim(), SyncRequest())


@pytest.mark.parametrize("is_upload", [True, False])
def test_a_superseded_attempt_stops_retrying_a_file_transfer(
    tmp_path: Path, is_upload: bool
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    tries = 4

    def raise_when_superseded() -> None:
        if len(peer.requests) == tries:
            raise Superseded(409, "attempt_superseded", "no")

    def transfer(server: Server) -> None:
        if is_upload:
            server.upload(make_claim(), "adapter.zip", path, raise_when_superseded)
        else:
            server.download(make_claim(), "ds_1", "0" * 64, path, raise_when_superseded)

    with (
        ScriptedServer(proxy_answer(403)) as peer,
        _server(peer.url) as server,
        pytest.raises(Superseded),
    ):
        transfer(server)
    assert len(peer.requests) == tries


def test_an_upload_stops_when_its_attempt_is_superseded(tmp_path: Path) -> None:
    path = tmp_path / "adapter.zip"
    path.write_bytes(b"x" * 3_000_000)

    def superseded() -> None:
        raise Superseded(409, "attempt_superseded", "no")

    with (
        ScriptedServer(Answer(201)) as peer,
        _server(peer.url) as server,
        pytest.raises(Superseded),
    ):
        server.upload(make_claim(), "adapter.zip", path, superseded)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.1", True), ("::1", True), ("10.0.0.1", False), ("api", False)],
)
def test_loopback_hosts_are_recognised(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
