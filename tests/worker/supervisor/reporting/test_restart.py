"""A worker that has restarted reports that its earlier attempts have ended."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from contracts.attempt import WorkerInfo
from tests.worker.supervisor.scripted_server import Answer, ScriptedServer
from worker.settings import Settings
from worker.supervisor.host.cards.gpu_lock import hold_device, take_turn
from worker.supervisor.host.identity import slot_name
from worker.supervisor.reporting.restart import DUE_SECONDS, RestartReport

WORKER = WorkerInfo(worker_id="w")
NOWHERE = "http://127.0.0.1:9"


class Host:
    """A worker's host with its lock directory, and a clock that the test sets."""

    def __init__(self, work_dir: Path) -> None:
        self.work_dir = work_dir
        self.locks = work_dir / "locks"
        self.now = 1000.0

    def start_worker(self, url: str) -> RestartReport:
        settings = Settings(
            work_dir=self.work_dir, server_url=url, worker_token=SecretStr("w" * 32)
        )
        report = RestartReport(settings, WORKER, patience_seconds=0, clock=lambda: self.now)
        report.try_now()
        return report

    def claim(self) -> None:
        """Take the lock's next turn, as the pool process does before a claim."""
        with hold_device(self.locks, slot_name(WORKER), patience_seconds=0) as lock_fd:
            take_turn(lock_fd)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_worker_reports_at_its_start_that_its_earlier_attempts_have_ended(host: Host) -> None:
    with ScriptedServer(Answer(204)) as server:
        report = host.start_worker(server.url)

    assert json.loads(server.requests[0].body)["idle"]["turn"] > 1
    assert not report.is_due()


def test_a_report_stays_due_while_another_process_uses_the_card_and_until_the_next_claim(
    host: Host,
) -> None:
    with hold_device(host.locks, slot_name(WORKER)):
        report = host.start_worker(NOWHERE)

        assert report.is_due()
    assert report.is_due(), "the card is free again, but this has not been reported"

    host.claim()

    assert not report.is_due()


def test_a_report_that_did_not_reach_the_server_stays_due_for_a_while(host: Host) -> None:
    report = host.start_worker(NOWHERE)
    assert report.is_due()

    host.now += DUE_SECONDS

    assert not report.is_due(), "by now, the server has ended the attempts"
