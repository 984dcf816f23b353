"""The health of running jobs through the API, on both databases. The curves are recorded runs."""

import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select, update

from app.attempts.finish import lose_attempt
from app.config.settings import Settings
from app.db.engine import Database
from app.db.tables import Attempt, Job, JobTrace
from app.events.words import event_words
from app.leases.lease import Times
from contracts.attempt import Claim
from contracts.base import utc_now
from contracts.failure import Language
from contracts.job import Phase
from contracts.record import EvalRecord, MetricRecord, PhaseRecord, Record
from contracts.verdicts.finding import HealthCode
from tests.app.player import Player
from tests.factories import make_metric
from tests.recorded.curves import HEALTHY, UNHEALTHY, Curve, read_curve


def records_of(curve: Curve) -> list[Record]:
    """Return the curve as an attempt's records."""
    found: list[Record] = [phase(1)]

    def evaluate(step: int) -> None:
        if step in curve.evaluations:
            seq, loss = len(found) + 1, curve.evaluations[step]
            found.append(EvalRecord(seq=seq, at=utc_now(), step=step, loss=loss, tokens=9))

    evaluate(0)
    for step in curve.steps:
        values = {
            "loss": step.loss,
            "grad_norm": step.grad_norm,
            "tokens": step.tokens,
            "seconds": step.seconds,
        }
        found.append(MetricRecord(seq=len(found) + 1, at=utc_now(), step=step.step, values=values))
        evaluate(step.step)
    return found


def phase(seq: int, name: Phase = Phase.TRAINING) -> PhaseRecord:
    return PhaseRecord(seq=seq, at=utc_now(), phase=name, step=0, total_steps=100)


def send(player: Player, claim: Claim, records: Sequence[Record], size: int = 1000) -> None:
    for start in range(0, len(records), size):
        player.sync(claim, *records[start : start + size])


def start(player: Player, curve: Curve | None = None) -> tuple[str, Claim]:
    """Submit and claim a job, with the batch and the limit of a curve."""
    training = (
        {}
        if curve is None
        else {
            "per_device_batch_size": curve.effective_batch,
            "gradient_accumulation_steps": 1,
            "max_grad_norm": curve.max_grad_norm,
        }
    )
    return player.submit(training=training), player.claim()


def make_due(database: Database) -> None:
    """Let the next sync judge, as if JUDGE_SECONDS had passed."""
    with database.writing() as session:
        session.execute(update(Attempt).values(judged_at=None))


def be_silent(database: Database, seconds: float) -> None:
    """Let the last step be that long ago."""
    make_due(database)
    with database.writing() as session:
        trace = session.scalars(select(JobTrace)).one()
        assert trace.stepped_at is not None
        trace.stepped_at -= timedelta(seconds=seconds)


def health(player: Player, job: str) -> dict[str, Any]:
    """Return the findings of a job by code; they must be the same in the list."""
    found = player.job(job)["health"]
    assert player.get("/v1/jobs")["data"][0]["health"] == found
    return {finding["code"]: finding for finding in found}


def acknowledge(player: Player, job: str, code: str) -> Any:
    return player.client.post(f"/v1/jobs/{job}/health/{code}/acknowledge")


def raised(player: Player, job: str) -> list[str]:
    events = player.get(f"/v1/jobs/{job}/events", limit=100)["data"]
    return [each["data"]["finding"] for each in events if each["code"] == "health_raised"]


@pytest.mark.parametrize("name", [*HEALTHY, *UNHEALTHY])
def test_a_recorded_run_is_judged_alike_by_the_rules_and_the_server(
    player: Player, database: Database, name: str
) -> None:
    curve = read_curve(name)
    job, claim = start(player, curve)
    records = records_of(curve)
    send(player, claim, records)
    make_due(database)
    player.sync(claim)
    if curve.silent_seconds is not None:
        be_silent(database, curve.silent_seconds)
        player.sync(claim)

    expected = {UNHEALTHY[name].value} if name in UNHEALTHY else set()
    assert set(health(player, job)) == expected
    assert set(raised(player, job)) == expected


def test_a_job_that_has_not_begun_has_no_findings(player: Player) -> None:
    job = player.submit()

    assert player.job(job)["health"] == []


def test_small_syncs_are_judged_at_most_once_in_two_seconds_and_no_record_is_missed(
    player: Player, database: Database
) -> None:
    curve = read_curve("spiky")
    job, claim = start(player, curve)
    records = records_of(curve)
    send(player, claim, records[:2])
    with database.reading() as session:
        first = session.scalars(select(Attempt)).one()
    assert first.judged_seq == 2
    statements: list[str] = []
    event.listen(database.writer, "before_cursor_execute", lambda *args: statements.append(args[2]))
    send(player, claim, records[2:], size=3)
    assert not [each for each in statements if "job_traces" in each]

    make_due(database)
    player.sync(claim)

    with database.reading() as session:
        assert session.scalars(select(Attempt)).one().judged_seq == len(records)
    assert set(health(player, job)) == {"loss_spike"}


def test_large_syncs_extend_the_trace_without_reading_records_again(
    player: Player, database: Database
) -> None:
    _, claim = start(player)
    steps = [make_metric(n) for n in range(1, 3001)]
    player.sync(claim, steps[0])
    statements: list[str] = []
    event.listen(database.writer, "before_cursor_execute", lambda *args: statements.append(args[2]))
    send(player, claim, steps[1:])

    reads = [s for s in statements if s.startswith("SELECT records.") and "step <" in s]
    assert len(reads) <= 2  # those of the two completed curve blocks
    with database.reading() as session:
        assert session.scalars(select(Attempt)).one().judged_seq == 3000


def test_the_last_records_count_even_if_the_attempt_ends_at_once(
    player: Player, database: Database
) -> None:
    curve = read_curve("overfitting")
    job, claim = start(player, curve)
    records = records_of(curve)
    player.sync(claim, records[0])
    send(player, claim, records[1:], size=50)
    player.succeed(claim, len(records))

    assert set(health(player, job)) == {"eval_loss_rising"}


def test_a_stall_is_cleared_by_the_next_step_and_by_the_end_of_the_attempt(
    player: Player, database: Database
) -> None:
    job, claim = start(player)
    player.sync(claim, phase(1), *[make_metric(n, n - 1) for n in range(2, 10)])
    be_silent(database, 70)
    player.sync(claim)
    found = health(player, job)["stalled"]
    assert (found["level"], found["step"]) == ("error", 8)
    assert found["values"]["limit_seconds"] == 60.0

    make_due(database)
    player.sync(claim, make_metric(10, 9))
    assert health(player, job) == {}

    be_silent(database, 70)
    player.sync(claim)
    assert "stalled" in health(player, job)
    player.finish(claim, "interrupted", 10)
    assert health(player, job) == {}


def test_a_lost_attempt_ends_its_stall_and_its_last_records_count(
    player: Player, database: Database, settings: Settings
) -> None:
    job, claim = start(player)
    player.sync(claim, phase(1), *[make_metric(n, n - 1) for n in range(2, 10)])
    be_silent(database, 70)
    player.sync(claim)
    assert "stalled" in health(player, job)
    player.sync(claim, make_metric(10, 9))
    with database.writing() as session:
        attempt = session.scalars(select(Attempt)).one()
        attempt.lease_expires_at -= timedelta(days=1)
        attempt.takeover_at -= timedelta(days=1)

    with database.writing() as session:
        assert lose_attempt(session, claim.attempt_id, Times.of(settings)) is not None

    assert health(player, job) == {}
    with database.reading() as session:
        assert session.scalars(select(Attempt.judged_seq)).one() == 10


def test_an_evaluation_is_not_a_stall(player: Player, database: Database) -> None:
    job, claim = start(player)
    player.sync(claim, phase(1), *[make_metric(n, n - 1) for n in range(2, 10)])
    make_due(database)
    player.sync(claim, phase(10, Phase.EVALUATING))
    with database.reading() as session:
        assert session.scalars(select(JobTrace)).one().stepped_at is None
    make_due(database)
    player.sync(claim)

    assert health(player, job) == {}


def sample(seq: int, **values: float) -> dict[str, Any]:
    named = {f"sys.{name}": value for name, value in values.items()}
    return {"seq": seq, "at": utc_now(), "values": named}


def test_a_nearly_full_disk_is_an_error_once_it_gets_worse_and_is_cleared_when_there_is_space(
    player: Player, database: Database
) -> None:
    job, claim = start(player)
    player.sync(claim, make_metric(1), samples=[sample(1, disk_free_bytes=9e9)])
    assert health(player, job) == {}
    levels = []
    for seq, free in ((2, 1.5e9), (3, 0.3e9), (4, 9e9)):
        make_due(database)
        player.sync(claim, samples=[sample(seq, disk_free_bytes=free)])
        levels.append([each["level"] for each in health(player, job).values()])

    assert levels == [["warning"], ["error"], []]


def test_an_acknowledged_finding_is_raised_again_if_it_gets_worse(
    player: Player, database: Database
) -> None:
    job, claim = start(player)
    player.sync(claim, make_metric(1), samples=[sample(1, disk_free_bytes=1.5e9)])
    before = player.job(job)
    assert before["health"][0]["acknowledged"] is False

    first, again = (acknowledge(player, job, "disk_nearly_full") for _ in range(2))

    assert first.status_code == again.status_code == 200
    assert first.json() == again.json() == player.job(job)
    assert first.json()["version"] == before["version"] + 1
    states = []
    for seq, free in ((2, 1.4e9), (3, 1.0e9), (4, 0.6e9)):
        make_due(database)
        player.sync(claim, samples=[sample(seq, disk_free_bytes=free)])
        states.append(health(player, job)["disk_nearly_full"]["acknowledged"])
    assert states == [True, True, False]
    assert raised(player, job) == ["disk_nearly_full"] * 2


def test_an_acknowledged_finding_is_raised_again_if_it_comes_back(
    player: Player, database: Database
) -> None:
    job, claim = start(player)
    player.sync(claim, make_metric(1), samples=[sample(1, disk_free_bytes=1.5e9)])
    assert acknowledge(player, job, "disk_nearly_full").status_code == 200
    for seq, free in ((2, 9e9), (3, 1.5e9)):
        make_due(database)
        player.sync(claim, samples=[sample(seq, disk_free_bytes=free)])

    assert health(player, job)["disk_nearly_full"]["acknowledged"] is False


def test_a_second_spike_is_raised_although_the_first_was_acknowledged(
    player: Player, database: Database
) -> None:
    job, claim = start(player)
    losses = [2.0] * 30 + [9.0] + [2.0] * 5
    player.sync(claim, *[make_metric(n, loss=loss) for n, loss in enumerate(losses, start=1)])
    assert health(player, job)["loss_spike"]["step"] == 31
    assert acknowledge(player, job, "loss_spike").status_code == 200

    make_due(database)
    player.sync(claim, make_metric(37))
    assert health(player, job)["loss_spike"]["acknowledged"] is True
    make_due(database)
    player.sync(claim, make_metric(38, loss=9.0))

    found = health(player, job)["loss_spike"]
    assert (found["acknowledged"], found["step"], found["values"]["count"]) == (False, 38, 2.0)


def test_a_finding_that_the_job_does_not_have_cannot_be_acknowledged(player: Player) -> None:
    job = player.submit()

    for code in ("stalled", "nonsense"):
        response = acknowledge(player, job, code)
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "finding_not_found"
    unknown = acknowledge(player, "job_000000000000000000000000", "stalled")
    assert unknown.json()["error"]["code"] == "job_not_found"


def test_acknowledgements_and_syncs_at_the_same_time_lose_nothing(
    player: Player, database: Database
) -> None:
    job, claim = start(player)
    values = {"disk_free_bytes": 1.5e9}
    losses = [2.0] * 30 + [9.0] + [2.0] * 5
    records = [make_metric(n, loss=loss) for n, loss in enumerate(losses, start=1)]
    player.sync(claim, *records, samples=[sample(1, **values)])
    codes = list(health(player, job))
    assert set(codes) == {"disk_nearly_full", "loss_spike"}

    threads = [threading.Thread(target=acknowledge, args=(player, job, code)) for code in codes]
    for thread in threads:
        thread.start()
    for seq in range(2, 8):
        make_due(database)
        player.sync(claim, samples=[sample(seq, **values)])
    for thread in threads:
        thread.join(30)

    assert all(finding["acknowledged"] for finding in health(player, job).values())


def test_a_resume_from_an_earlier_step_clears_what_its_steps_replace(
    player: Player, database: Database
) -> None:
    job, claim = start(player)
    steps = [make_metric(n, loss=2.0 - n / 100) for n in range(1, 41)]
    player.sync(claim, *steps, *[make_metric(n, loss=30.0) for n in range(41, 61)])
    assert set(health(player, job)) == {"diverged"}
    player.finish(claim, "interrupted", 60)
    with database.writing() as session:
        session.execute(update(Job).values(not_before=None))
    assert set(health(player, job)) == {"diverged"}  # the losses are still those of the job

    again = player.claim()
    player.sync(again, *[make_metric(n, 30 + n, loss=1.5) for n in range(1, 31)])

    assert health(player, job) == {}


def test_a_finding_of_a_later_version_is_left_out(player: Player, database: Database) -> None:
    job, claim = start(player)
    player.sync(claim, make_metric(1), samples=[sample(1, disk_free_bytes=1.5e9)])
    with database.writing() as session:
        row = session.scalars(select(Job)).one()
        row.health = [{"code": "sunspots", "level": "warning"}, *(row.health or [])]

    assert set(health(player, job)) == {"disk_nearly_full"}
    assert acknowledge(player, job, "disk_nearly_full").status_code == 200


def test_every_finding_has_words_in_both_languages() -> None:
    languages: tuple[Language, ...] = ("en", "zh")
    for code in HealthCode:
        for language in languages:
            words = event_words("health_raised", language, {"finding": code.value, "step": 7})
            assert words not in {code.value, "health_raised"}
            assert "{" not in words
            assert "7" in words
