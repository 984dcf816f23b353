import json
from pathlib import Path

import pytest

from contracts.attempt import Outcome, RowProgress, SyncReply, Wanted
from contracts.base import utc_now
from contracts.failure import FailureReason
from contracts.job import Phase
from contracts.record import encode_line
from contracts.run.run_dir import RunDir, write_model
from tests.factories import make_metric, make_summary
from tests.worker.supervisor.builders import make_claim
from tests.worker.supervisor.scripted_server import (
    Answer,
    Request,
    ScriptedServer,
    error_answer,
    proxy_answer,
)
from worker.supervisor.reporting.reporter import Reporter
from worker.supervisor.results.deliver import deliver
from worker.supervisor.server.answers import Superseded
from worker.supervisor.server.client import Server

QUICK = make_claim(flush_seconds=0.0, sync_seconds=10.0)


def _synced(acked_seq: int, acked_output: int = 0, wanted: Wanted = Wanted.CONTINUE) -> Answer:
    reply = SyncReply(
        wanted=wanted, lease_seconds=45, acked_seq=acked_seq, acked_output=acked_output
    )
    return Answer(body=reply.model_dump_json().encode())


def _seqs(request: Request) -> list[int]:
    return [record["seq"] for record in json.loads(request.body)["records"]]


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path)


def _record(run_dir: RunDir, *seqs: int) -> None:
    with run_dir.records.open("ab") as file:
        file.writelines(encode_line(make_metric(seq)) for seq in seqs)


def test_a_sync_reports_the_phase_and_returns_the_servers_command(run_dir: RunDir) -> None:
    with (
        ScriptedServer(_synced(0, wanted=Wanted.CANCEL)) as peer,
        Server(peer.url, "t", 5, 5) as server,
    ):
        reporter = Reporter(QUICK, server, run_dir)
        reporter.enter(Phase.PLACING)

        assert reporter.pulse() is Wanted.CANCEL
    assert json.loads(peer.requests[0].body)["phase"] == "placing"


def test_records_are_kept_while_the_server_is_unavailable_and_sent_afterwards(
    run_dir: RunDir,
) -> None:
    with (
        ScriptedServer(
            error_answer(503, "database_unavailable"), error_answer(500, "internal"), _synced(3)
        ) as peer,
        Server(peer.url, "t", 5, 5) as server,
    ):
        reporter = Reporter(QUICK, server, run_dir)
        _record(run_dir, 1)
        assert reporter.pulse() is Wanted.CONTINUE
        _record(run_dir, 2, 3)
        reporter.pulse()
        reporter.pulse()

    assert [_seqs(request) for request in peer.requests] == [[1], [1, 2, 3], [1, 2, 3]]


@pytest.mark.parametrize("status", [200, 301, 308, 400, 401, 403, 404, 405, 413, 503])
def test_a_response_from_a_proxy_does_not_end_an_attempt(run_dir: RunDir, status: int) -> None:
    _record(run_dir, 1)
    with (
        ScriptedServer(proxy_answer(status), _synced(1, wanted=Wanted.PAUSE)) as peer,
        Server(peer.url, "t", 5, 5) as server,
    ):
        reporter = Reporter(QUICK, server, run_dir)

        assert reporter.pulse() is Wanted.CONTINUE
        assert reporter.pulse() is Wanted.PAUSE
    assert [_seqs(request) for request in peer.requests] == [[1], [1]]


@pytest.mark.parametrize(
    "answer", [error_answer(409, "attempt_superseded"), error_answer(401, "unauthorized")]
)
def test_an_attempt_ends_when_it_is_superseded_or_its_token_is_rejected(
    run_dir: RunDir, answer: Answer
) -> None:
    with ScriptedServer(answer) as peer, Server(peer.url, "t", 5, 5) as server:
        reporter = Reporter(QUICK, server, run_dir)
        _record(run_dir, 1)
        with pytest.raises(Superseded):
            reporter.pulse()


def test_records_that_are_missing_at_the_finish_are_sent_again(run_dir: RunDir) -> None:
    _record(run_dir, 1, 2, 3)
    finished = Answer(body=b'{"job_status": "cancelled"}')
    answers = [_synced(3), Answer(201), error_answer(409, "records_missing")]
    with (
        # The server acknowledges 3 records and stores the log, but then loses 2 of the records. It rejects the finish,
        # acknowledges the 2 records again, and accepts the second finish.
        ScriptedServer(*answers, _synced(1), _synced(3), finished) as peer,
        Server(peer.url, "t", 5, 5) as server,
    ):
        reporter = Reporter(QUICK, server, run_dir)
        reply = deliver(QUICK, server, reporter, run_dir, Outcome(status="cancelled"))

    assert reply.job_status == "cancelled"
    syncs = [_seqs(request) for request in peer.requests if request.path.endswith("/sync")]
    assert syncs == [[1, 2, 3], [], [2, 3]]
    assert json.loads(peer.requests[-1].body)["last_seq"] == 3


def test_a_success_without_a_complete_summary_is_reported_as_a_crash(run_dir: RunDir) -> None:
    finished = Answer(body=b'{"job_status": "failed"}')
    with ScriptedServer(_synced(0), finished) as peer, Server(peer.url, "t", 5, 5) as server:
        reporter = Reporter(QUICK, server, run_dir)
        deliver(QUICK, server, reporter, run_dir, Outcome(status="succeeded", step=4))

    outcome = json.loads(peer.requests[-1].body)["outcome"]
    assert outcome["failure"]["reason"] == FailureReason.CRASHED
    assert outcome["step"] == 4


def test_an_adapter_that_the_server_rejects_is_reported_as_an_upload_failure(
    run_dir: RunDir,
) -> None:
    write_model(run_dir.summary, make_summary())
    run_dir.adapter.mkdir()
    (run_dir.adapter / "adapter_config.json").write_text("{}")
    finished = Answer(body=b'{"job_status": "queued"}')
    with (
        ScriptedServer(_synced(0), error_answer(413, "too_large"), finished) as peer,
        Server(peer.url, "t", 5, 5) as server,
    ):
        reporter = Reporter(QUICK, server, run_dir)
        deliver(QUICK, server, reporter, run_dir, Outcome(status="succeeded"))

    assert json.loads(peer.requests[-1].body)["outcome"]["failure"]["reason"] == "upload_failed"


def test_a_run_with_damaged_records_does_not_succeed(run_dir: RunDir) -> None:
    write_model(run_dir.summary, make_summary())
    _record(run_dir, 1, 3)
    finished = Answer(body=b'{"job_status": "failed"}')
    with (
        ScriptedServer(_synced(1), Answer(201), finished) as peer,
        Server(peer.url, "t", 5, 5) as server,
    ):
        reporter = Reporter(QUICK, server, run_dir)
        deliver(QUICK, server, reporter, run_dir, Outcome(status="succeeded"))

    request = json.loads(peer.requests[-1].body)
    assert request["outcome"]["failure"]["reason"] == "crashed"
    assert request["last_seq"] == 1


def test_system_samples_are_sent_once_and_limited_in_number_during_an_outage(
    run_dir: RunDir,
) -> None:
    with (
        ScriptedServer(error_answer(503, "database_unavailable"), _synced(0), _synced(0)) as peer,
        Server(peer.url, "t", 5, 5) as server,
    ):
        reporter = Reporter(QUICK, server, run_dir)
        for number in range(600):
            reporter.note_system({"sys.cpu_percent": float(number)}, utc_now())
        reporter.note_system({}, utc_now())
        reporter.pulse()
        reporter.pulse()
        reporter.note_system({"sys.cpu_percent": 1.0}, utc_now())
        reporter.pulse()

    sent = [
        [sample["seq"] for sample in json.loads(request.body)["samples"]]
        for request in peer.requests
    ]
    assert sent == [list(range(101, 601)), list(range(101, 601)), [601]]


def _rows_synced(request: Request) -> int | None:
    rows = json.loads(request.body)["rows"]
    return None if rows is None else int(rows["rows_done"])


def _count(run_dir: RunDir, done: int) -> None:
    rows = RowProgress(phase=Phase.EVALUATING, rows_done=done, rows_total=9, seconds=1)
    write_model(run_dir.progress, rows)


def test_row_progress_is_sent_when_it_changes(run_dir: RunDir) -> None:
    with ScriptedServer(_synced(0)) as peer, Server(peer.url, "t", 5, 5) as server:
        reporter = Reporter(QUICK, server, run_dir)
        reporter.pulse()
        assert peer.requests == [], "nothing to send yet"
        _count(run_dir, 0)
        reporter.pulse()
        reporter.pulse()  # unchanged: nothing to send
        _count(run_dir, 4)
        reporter.pulse()
        run_dir.progress.unlink()
        _record(run_dir, 1)
        reporter.pulse()

    assert [_rows_synced(request) for request in peer.requests] == [0, 4, None]


def test_row_progress_is_not_sent_during_a_supervisor_phase_or_from_an_incomplete_file(
    run_dir: RunDir,
) -> None:
    with ScriptedServer(_synced(0)) as peer, Server(peer.url, "t", 5, 5) as server:
        reporter = Reporter(QUICK, server, run_dir)
        _count(run_dir, 3)
        reporter.enter(Phase.UPLOADING)  # the training program was killed and left its file behind
        reporter.pulse()
        reporter.enter(None)
        run_dir.progress.write_text('{"phase": "evaluating", "rows_done": 4')
        _record(run_dir, 1)
        reporter.pulse()

    assert [_rows_synced(request) for request in peer.requests] == [None, None]


def test_row_progress_is_sent_again_after_a_failed_sync(run_dir: RunDir) -> None:
    with (
        ScriptedServer(error_answer(503, "database_unavailable"), _synced(0)) as peer,
        Server(peer.url, "t", 5, 5) as server,
    ):
        reporter = Reporter(QUICK, server, run_dir)
        _count(run_dir, 4)
        reporter.pulse()
        reporter.pulse()

    assert [_rows_synced(request) for request in peer.requests] == [4, 4]
