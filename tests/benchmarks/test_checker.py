"""The checker reports each kind of broken promise, and nothing if no promise is broken."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.factories import make_metric
from tests.faults.harness.checker import check
from tests.faults.harness.history import (
    AttemptRow,
    Cut,
    History,
    JobRow,
    Observation,
    Point,
    Sighting,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def points(count: int) -> list[Point]:
    return [Point.of(make_metric(seq)) for seq in range(1, count + 1)]


def attempt(number: int, status: str, minutes: tuple[int, int], stored: int = 0) -> AttemptRow:
    began, ended = (NOON + timedelta(minutes=minute) for minute in minutes)
    return AttemptRow(
        id=f"att_{number}",
        job_id="job_1",
        number=number,
        worker=f"w{number}",
        status=status,
        started_at=began,
        synced_at=ended,
        ended_at=ended,
        acked_seq=stored,
        stored=tuple(points(stored)),
    )


def good_history() -> History:
    """Return the history of a job that lost its first worker after three of four records and then succeeded."""
    return History(
        acknowledged=["job_1"],
        produced={"att_1": points(4), "att_2": points(5)},
        sightings=[
            Sighting(1.0, 10, "w1", "att_1"),
            Sighting(2.0, 10, "w1", "att_1"),
            Sighting(2.0, 20, "w2", "att_2"),
        ],
        observations=[
            Observation(1.0, "att_1", "running", 3, 3),
            Observation(2.0, "att_1", "lost", 3, 3),
            Observation(3.0, "att_2", "running", 5, 5),
        ],
        cuts=[Cut("w1", 1.5, 2.5)],
        jobs=[JobRow("job_1", "succeeded", None, 1, curve=(1, 2, 3, 4, 5), total_steps=5)],
        attempts=[attempt(1, "lost", (0, 1), 3), attempt(2, "succeeded", (1, 2), 5)],
    )


def test_a_history_that_keeps_every_promise_is_clean() -> None:
    assert check(good_history()).is_clean


def test_an_acknowledged_job_that_is_missing_or_has_not_ended_counts_as_lost() -> None:
    missing, open_ended, unreported = good_history(), good_history(), good_history()
    missing.acknowledged.append("job_2")
    open_ended.jobs[0] = replace(open_ended.jobs[0], status="running")
    unreported.jobs[0] = replace(unreported.jobs[0], ends=0)

    for history in (missing, open_ended, unreported):
        assert check(history).counts()["jobs_lost"] == 1


def test_a_job_that_ends_twice_or_has_overlapping_attempts_counts_as_run_twice() -> None:
    twice, skipped, together = good_history(), good_history(), good_history()
    twice.jobs[0] = replace(twice.jobs[0], ends=2)
    skipped.attempts[1] = replace(skipped.attempts[1], number=3)
    together.attempts[0] = replace(together.attempts[0], ended_at=NOON + timedelta(minutes=1.5))

    for history in (twice, skipped, together):
        assert check(history).counts()["jobs_run_twice"] == 1


def test_two_processes_may_train_a_job_only_while_the_earlier_one_is_cut_off_or_suspended() -> None:
    history, stopped = good_history(), good_history()
    history.cuts.clear()
    stopped.cuts.clear()
    stopped.sightings[1] = replace(stopped.sightings[1], is_stopped=True)

    assert check(history).counts()["jobs_run_twice"] == 1
    assert check(stopped).is_clean


def test_two_training_processes_on_one_device_are_never_allowed() -> None:
    history = good_history()
    history.sightings[2] = replace(history.sightings[2], worker="w1")

    assert check(history).counts()["jobs_run_twice"] == 1


def test_writes_accepted_from_an_ended_attempt_count_as_run_twice() -> None:
    synced, changed = good_history(), good_history()
    synced.attempts[0] = replace(synced.attempts[0], synced_at=NOON + timedelta(minutes=5))
    changed.observations.append(Observation(4.0, "att_1", "succeeded", 3, 3))

    for history in (synced, changed):
        assert check(history).counts()["jobs_run_twice"] == 1


def test_acknowledged_or_produced_records_that_are_not_stored_count_as_lost() -> None:
    acknowledged, produced, gap = good_history(), good_history(), good_history()
    acknowledged.attempts[0] = replace(acknowledged.attempts[0], stored=tuple(points(2)))
    produced.produced["att_2"] = points(6)
    gap.jobs[0] = replace(gap.jobs[0], curve=(1, 2, 4, 5))

    for history in (acknowledged, produced, gap):
        assert check(history).counts()["points_lost"] == 1


def test_altered_or_repeated_records_count_as_duplicates() -> None:
    altered, curve = good_history(), good_history()
    other = Point.of(make_metric(5, loss=9.0))
    altered.attempts[1] = replace(altered.attempts[1], stored=(*points(4), other))
    curve.jobs[0] = replace(curve.jobs[0], curve=(1, 2, 3, 3, 4, 5))

    for history in (altered, curve):
        assert check(history).counts()["points_doubled"] == 1


def test_a_process_left_running_counts_as_a_stray() -> None:
    history = good_history()
    history.strays.append("python -m worker.training")

    assert check(history).counts()["stray_processes"] == 1
