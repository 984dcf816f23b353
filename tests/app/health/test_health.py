"""The health of running jobs through the API, on both databases. The curves are recorded runs."""

from datetime import timedelta

import pytest
from sqlalchemy import event, select, update

from app.attempts.finish import lose_attempt
from app.config.settings import Settings
from app.db.engine import Database
from app.db.tables import Attempt, Job, JobTrace
from app.events.words import event_words
from app.health import service
from app.leases.lease import Times
from contracts.failure import Language
from contracts.job import Phase
from contracts.verdicts.finding import HealthCode
from tests.app.health.judged_job import (
    age_last_step,
    health,
    make_due,
    phase,
    raised,
    records_of,
    sample,
    send,
    start,
)
from tests.app.player import Player
from tests.factories import make_metric
from tests.recorded.curves import HEALTHY, UNHEALTHY, read_curve


@pytest.mark.parametrize("name", [*HEALTHY, *UNHEALTHY])
def test_the_server_judges_a_recorded_run_as_the_rules_do(
    player: Player, database: Database, name: str
) -> None:
    curve = read_curve(name)
    job, claim = start(player, curve)
    records = records_of(curve)
    send(player, claim, records)
    make_due(database)
    player.sync(claim)
    if curve.silent_seconds is not None:
        age_last_step(database, curve.silent_seconds)
        player.sync(claim)

    expected = {UNHEALTHY[name].value} if name in UNHEALTHY else set()
    assert set(health(player, job)) == expected
    assert set(raised(player, job)) == expected


def test_a_job_that_has_not_started_has_no_findings(player: Player) -> None:
    job = player.submit()

    assert player.job(job)["health"] == []


def test_small_syncs_are_judged_at_most_every_two_seconds_and_no_record_is_missed(
    player: Player, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert service.JUDGE_SECONDS == 2
    monkeypatch.setattr(service, "JUDGE_SECONDS", 1000.0)  # the machine may be busy
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
    assert len(reads) <= 2  # one for each of the two completed curve blocks
    with database.reading() as session:
        assert session.scalars(select(Attempt)).one().judged_seq == 3000


def test_the_last_records_count_even_if_the_attempt_ends_immediately(
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
    age_last_step(database, 70)
    player.sync(claim)
    found = health(player, job)["stalled"]
    assert (found["level"], found["step"]) == ("error", 8)
    assert found["values"]["limit_seconds"] == 60.0

    make_due(database)
    player.sync(claim, make_metric(10, 9))
    assert health(player, job) == {}

    age_last_step(database, 70)
    player.sync(claim)
    assert "stalled" in health(player, job)
    player.finish(claim, "interrupted", 10)
    assert health(player, job) == {}


def test_a_lost_attempt_ends_its_stall_and_its_last_records_count(
    player: Player, database: Database, settings: Settings
) -> None:
    job, claim = start(player)
    player.sync(claim, phase(1), *[make_metric(n, n - 1) for n in range(2, 10)])
    age_last_step(database, 70)
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


def test_resuming_from_an_earlier_step_clears_the_findings_on_the_replaced_steps(
    player: Player, database: Database
) -> None:
    job, claim = start(player)
    steps = [make_metric(n, loss=2.0 - n / 100) for n in range(1, 41)]
    player.sync(claim, *steps, *[make_metric(n, loss=30.0) for n in range(41, 61)])
    assert set(health(player, job)) == {"diverged"}
    player.finish(claim, "interrupted", 60)
    with database.writing() as session:
        session.execute(update(Job).values(not_before=None))
    assert set(health(player, job)) == {"diverged"}  # the losses still belong to the job

    again = player.claim()
    player.sync(again, *[make_metric(n, 30 + n, loss=1.5) for n in range(1, 31)])

    assert health(player, job) == {}


def test_every_finding_has_a_text_in_both_languages() -> None:
    languages: tuple[Language, ...] = ("en", "zh")
    for code in HealthCode:
        for language in languages:
            words = event_words("health_raised", language, {"finding": code.value, "step": 7})
            assert words not in {code.value, "health_raised"}
            assert "{" not in words
            assert "7" in words
