"""Syncs: the records and output that the server stores, and the reports that it rejects."""

import math
from typing import Any

import pytest
from sqlalchemy import func, select

from app.db.engine import Database
from app.db.tables import Record
from contracts.base import utc_now
from contracts.job import Phase
from contracts.protocol.wire import SYNC_PATH
from contracts.record import EvalRecord, GapRecord, LogRecord, PhaseRecord
from tests.app.player import Player
from tests.factories import make_checkpoint, make_metric


def test_records_are_stored_once_however_often_they_are_sent(
    player: Player, database: Database
) -> None:
    job = player.submit()
    claim = player.claim()
    records = [make_metric(n, loss=3.0 - n / 10) for n in range(1, 6)]

    assert player.sync(claim, *records[:3]).acked_seq == 3
    assert player.sync(claim, *records[1:5]).acked_seq == 5
    assert player.sync(claim, *records, *records).acked_seq == 5

    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Record)) == 5
    assert [point["step"] for point in player.get(f"/v1/jobs/{job}/loss")["data"]] == [
        1,
        2,
        3,
        4,
        5,
    ]
    assert player.job(job)["last_loss"] == 2.5


def test_records_after_a_gap_wait_until_the_gap_is_filled(player: Player) -> None:
    job = player.submit()
    claim = player.claim()

    assert player.sync(claim, make_metric(1), make_metric(4)).acked_seq == 1
    assert len(player.get(f"/v1/jobs/{job}/loss")["data"]) == 1
    assert player.finish(claim, "cancelled", last_seq=4).status_code == 409

    assert player.sync(claim, make_metric(3), make_metric(2, loss=9.0)).acked_seq == 4
    assert len(player.get(f"/v1/jobs/{job}/loss")["data"]) == 4
    seen = player.job(job)
    assert (seen["progress"]["step"], seen["last_loss"]) == (4, 2.0), (
        "late records do not lower the progress"
    )
    assert player.finish(claim, "cancelled", last_seq=4).status_code == 200


def test_progress_phase_and_time_left_follow_the_records(player: Player) -> None:
    job = player.submit(evaluation={"every_steps": 4})
    claim = player.claim()
    at = utc_now()

    assert player.job(job)["eta_seconds"] is None
    player.sync(claim, phase=Phase.PLACING)
    player.sync(
        claim,
        PhaseRecord(seq=1, at=at, phase=Phase.TRAINING, total_steps=10),
        EvalRecord(seq=2, at=at, step=0, loss=2.5, tokens=10, seconds=3.0),
        make_metric(3, step=1, seconds=2.0, epoch=0.1, loss=1.75),
        make_metric(4, step=2, seconds=2.0, epoch=0.2, loss=1.5),
    )

    seen = player.job(job)
    assert seen["phase"] == "training"
    assert seen["progress"] == {
        "step": 2,
        "total_steps": 10,
        "epoch": 0.2,
        "percent": 20.0,
        "rows": None,
    }
    assert (seen["last_loss"], seen["eval_loss"]) == (1.5, None), (
        "only the base model was evaluated"
    )
    assert player.get("/v1/jobs", sort="eval_loss")["data"][0]["eval_loss"] is None
    assert seen["eta_seconds"] == 8 * 2.0 + 3 * 3.0, "evaluations at 4, 8 and the end"
    player.sync(claim, EvalRecord(seq=5, at=at, step=4, loss=2.0, tokens=10, seconds=3.0))
    assert player.job(job)["eval_loss"] == 2.0


def test_notable_records_become_events(player: Player) -> None:
    job = player.submit()
    claim = player.claim()
    at = utc_now()

    player.sync(
        claim,
        PhaseRecord(seq=1, at=at, phase=Phase.LOADING),
        LogRecord(seq=2, at=at, message="a detail"),
        LogRecord(seq=3, at=at, level="warning", message="3 rows were dropped {x}"),
        EvalRecord(seq=4, at=at, step=0, loss=math.nan, tokens=1),
        make_checkpoint(5, 10),
    )

    english = player.get(f"/v1/jobs/{job}/events")["data"]
    response = player.client.get(f"/v1/jobs/{job}/events", headers={"Accept-Language": "zh-CN"})
    assert [event["code"] for event in english] == [
        "job_created",
        "attempt_started",
        "phase",
        "log",
        "evaluated",
        "checkpoint",
        "health_raised",
    ]
    assert english[3]["message"] == "3 rows were dropped {x}"
    assert english[3]["level"] == "warning"
    assert response.json()["data"][0]["message"] == "任务已提交。"


def test_nonfinite_numbers_are_stored_and_listed(player: Player) -> None:
    job = player.submit()
    claim = player.claim()

    player.sync(claim, make_metric(1, loss=math.nan, grad_norm=math.inf), make_metric(2))

    page = player.get(f"/v1/jobs/{job}/loss")
    assert [point["loss"] for point in page["data"]] == [None, 2.0]
    assert page["data"][0]["grad_norm"] is None
    assert page["nonfinite"] == [1]


def test_output_is_stored_once_and_without_gaps(player: Player) -> None:
    job = player.submit()
    claim = player.claim()

    assert player.print(claim, 0, "one\ntwo\n").acked_output == 8
    assert player.print(claim, 0, "one\ntwo\n").acked_output == 8
    assert player.print(claim, 20, "later\n").acked_output == 8
    assert player.print(claim, 0, "one\ntwo\n三\0\n").acked_output == 13

    text = player.client.get(f"/v1/jobs/{job}/logs", headers={"Accept": "text/plain"}).text
    assert text == "one\ntwo\n三\ufffd\n"


AT = "2026-01-01T00:00:00Z"
TOO_LARGE: dict[str, dict[str, Any]] = {
    "records.0.seq": {"records": [{"type": "metric", "seq": 10**30, "step": 1, "values": {}}]},
    "records.0.step": {"records": [{"type": "metric", "seq": 1, "step": 2**53 + 1, "values": {}}]},
    "records.0.total_steps": {
        "records": [{"type": "phase", "seq": 1, "phase": "training", "total_steps": 10**30}]
    },
    "output.offset": {"output": {"offset": 10**30, "bytes": 1, "text": "x"}},
    "samples.0.seq": {"samples": [{"seq": 10**30, "values": {}}]},
}


@pytest.mark.parametrize("field", TOO_LARGE)
def test_a_reported_number_above_the_maximum_is_rejected_and_its_field_is_named(
    player: Player, field: str
) -> None:
    player.submit()
    claim = player.claim()
    body = {
        name: [content | {"at": AT} for content in value]
        if isinstance(value, list)
        else value | {"at": AT}
        for name, value in TOO_LARGE[field].items()
    }

    response = player.client.post(
        SYNC_PATH.format(attempt_id=claim.attempt_id),
        json=body,
        headers={"Authorization": f"Bearer {claim.token}"},
    )

    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("number_too_large", "records")
    assert error["message"] == f"{field} contains a number larger than {2**53}."


def test_another_error_is_reported_even_if_a_number_is_above_the_maximum(player: Player) -> None:
    player.submit()
    claim = player.claim()
    large = {"type": "metric", "seq": 10**30, "step": -1, "at": AT, "values": {}}

    response = player.client.post(
        SYNC_PATH.format(attempt_id=claim.attempt_id),
        json={"records": [large]},
        headers={"Authorization": f"Bearer {claim.token}"},
    )

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_field"


def test_an_attempt_number_above_the_maximum_is_rejected(player: Player) -> None:
    player.submit()
    claim = player.claim()

    assert player.post_earlier(claim, 10**30, make_metric(1)).status_code == 400


def test_metrics_dropped_by_a_full_spool_are_reported_in_only_a_few_events(
    player: Player,
) -> None:
    job = player.submit()
    claim = player.claim()
    gaps = [
        GapRecord(seq=n, at=utc_now(), first_step=n, last_step=n, count=1, number=n, total=n)
        for n in range(1, 10)
    ]

    assert player.sync(claim, *gaps).acked_seq == 9

    events = [e for e in player.get(f"/v1/jobs/{job}/events")["data"] if e["code"] == "record_gap"]
    assert [event["data"]["total"] for event in events] == [1, 2, 4, 8]
    assert events[0]["level"] == "warning"
    assert events[0]["message"].startswith("Metrics and evaluations dropped so far: 1, ")
