"""The checker: decides whether a history keeps the promises of docs/reliability.md. A pure function, like Jepsen's checkers.

It uses only observations from outside and does not depend on the implementation of the service.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from tests.faults.harness.history import AttemptRow, History, JobRow, Sighting

WAKING_SECONDS = 5.0
"""How long a superseded training process may keep running after a cut, until its supervisor has synced and stopped it."""
UNSENT = frozenset({"lost"})
"""Statuses of attempts that may leave unsent records: the worker is gone, and the next attempt repeats their steps."""


@dataclass
class Verdict:
    """Findings as sentences, by kind. If every promise was kept, all lists are empty."""

    jobs_lost: list[str] = field(default_factory=list)
    jobs_run_twice: list[str] = field(default_factory=list)
    points_lost: list[str] = field(default_factory=list)
    points_doubled: list[str] = field(default_factory=list)
    stray_processes: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether every promise was kept."""
        return not any(self.counts().values())

    def counts(self) -> dict[str, int]:
        """Return the number of findings by kind."""
        return {kind: len(found) for kind, found in vars(self).items()}

    def __str__(self) -> str:
        lines = [f"{kind}: {text}" for kind, found in vars(self).items() for text in found[:20]]
        return "\n".join(lines) or "every promise was kept"


def check(history: History) -> Verdict:
    """Check a history in which all jobs have ended."""
    return Verdict(
        jobs_lost=list(_lost_jobs(history)),
        jobs_run_twice=[*_duplicate_ends(history), *_overlaps(history), *_late_writes(history)],
        points_lost=list(_lost_points(history)),
        points_doubled=list(_duplicate_points(history)),
        stray_processes=list(history.strays),
    )


def _lost_jobs(history: History) -> Iterator[str]:
    """Check that every acknowledged job is stored and has ended with the expected status."""
    jobs = {job.id: job for job in history.jobs}
    for job_id in history.acknowledged:
        job = jobs.get(job_id)
        expected = history.expected.get(job_id, "succeeded")
        if job is None:
            yield f"{job_id} was acknowledged but is not stored"
        elif job.status != expected:
            yield f"{job_id} is {job.status} ({job.error}) but should be {expected}"
        elif job.ends == 0:
            yield f"{job_id} is {job.status} without a matching event"


def _duplicate_ends(history: History) -> Iterator[str]:
    """Check that each job ended once, and that its attempts are numbered without a gap and do not overlap."""
    for job in history.jobs:
        if job.ends > 1:
            yield f"{job.id} ended {job.ends} times"
    for job_id, attempts in _by_job(history).items():
        numbers = [attempt.number for attempt in attempts]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"{job_id} has attempts numbered {numbers}"
        if sum(attempt.status == "succeeded" for attempt in attempts) > 1:
            yield f"{job_id} succeeded in several attempts"
        for before, after in pairwise(attempts):
            if before.ended_at is None or before.ended_at > after.started_at:
                yield f"{after.id} began before {before.id} had ended"


def _overlaps(history: History) -> Iterator[str]:
    """Check that each device, and each job whose holder was not cut off, had at most one training process at a time."""
    attempts = {attempt.id: attempt for attempt in history.attempts}
    moments: dict[float, list[Sighting]] = defaultdict(list)
    for sighting in history.sightings:
        moments[sighting.at].append(sighting)
    reported = set()
    for at, seen in moments.items():
        for worker, count in Counter(sighting.worker for sighting in seen).items():
            if count > 1 and worker not in reported:
                reported.add(worker)
                yield f"{count} training processes on the device of {worker} at {at:.1f}"
        by_job: dict[str, list[Sighting]] = defaultdict(list)
        for sighting in seen:
            if sighting.attempt_id in attempts:
                by_job[attempts[sighting.attempt_id].job_id].append(sighting)
        for job_id, together in by_job.items():
            *former, _ = sorted(together, key=lambda each: attempts[each.attempt_id].number)
            unexcused = [each for each in former if not _is_excused(history, each)]
            if unexcused and job_id not in reported:
                reported.add(job_id)
                yield f"two training processes of {job_id} at {at:.1f}, although {unexcused[0].worker} was not cut off"


def _is_excused(history: History, sighting: Sighting) -> bool:
    return sighting.is_stopped or any(
        cut.worker == sighting.worker and cut.began <= sighting.at <= cut.ended + WAKING_SECONDS
        for cut in history.cuts
    )


def _late_writes(history: History) -> Iterator[str]:
    """Check that the server accepted nothing from an attempt after its end: the row of the attempt must not change.

    The history of the attempt may still grow, because the next attempt may upload its unsent records under its own token.
    """
    ended: dict[str, str] = {}
    for seen in history.observations:
        before = ended.get(seen.attempt_id)
        if before is not None and seen.status != before:
            yield f"{seen.attempt_id} changed from {before} to {seen.status}"
        if seen.status != "running":
            ended[seen.attempt_id] = seen.status
    for attempt in history.attempts:
        if attempt.ended_at is not None and attempt.synced_at > attempt.ended_at:
            yield f"{attempt.id} ended as {attempt.status} at {attempt.ended_at} but synced at {attempt.synced_at}"


def _lost_points(history: History) -> Iterator[str]:
    """Check that acknowledged records and records of ended attempts are stored without a gap, and that curves are complete."""
    acknowledged: dict[str, int] = defaultdict(int)
    for seen in history.observations:
        acknowledged[seen.attempt_id] = max(acknowledged[seen.attempt_id], seen.acked_seq)
    for attempt in history.attempts:
        stored = {point.seq for point in attempt.stored}
        acked = max(attempt.acked_seq, acknowledged[attempt.id])
        for seq in sorted(set(range(1, acked + 1)) - stored):
            yield f"record {seq} of {attempt.id} was acknowledged but is not stored"
        for seq in sorted(set(range(acked + 1, max(stored, default=0))) - stored):
            if attempt.ended_at is not None:
                yield f"record {seq} of {attempt.id} is missing among the stored records"
        if attempt.ended_at is None or attempt.status in UNSENT:
            continue
        for point in history.produced.get(attempt.id, []):
            if point.seq > max(stored, default=0):
                yield f"record {point.seq} of {attempt.id} ({attempt.status}) was written but is not stored"
    for job in history.jobs:
        yield from _holes(job)


def _holes(job: JobRow) -> Iterator[str]:
    if job.status != "succeeded" or job.total_steps is None:
        return
    for step in sorted(set(range(1, job.total_steps + 1)) - set(job.curve)):
        yield f"step {step} of {job.id} is missing from its loss history"


def _duplicate_points(history: History) -> Iterator[str]:
    """Check that every stored record equals one that a training process wrote, and that a curve has each step once."""
    for attempt in history.attempts:
        produced = {point.seq: point for point in history.produced.get(attempt.id, [])}
        for point in attempt.stored:
            if produced.get(point.seq) != point:
                yield f"record {point.seq} of {attempt.id} differs from the record that was written: {point}"
        yield from _repeated(attempt.id, [p.step for p in attempt.stored if p.is_loss])
    for job in history.jobs:
        yield from _repeated(job.id, list(job.curve))


def _repeated(name: str, steps: list[int | None]) -> Iterator[str]:
    for step, count in Counter(steps).items():
        if count > 1:
            yield f"step {step} of {name} appears {count} times"


def _by_job(history: History) -> dict[str, list[AttemptRow]]:
    jobs: dict[str, list[AttemptRow]] = defaultdict(list)
    for attempt in sorted(history.attempts, key=lambda attempt: attempt.number):
        jobs[attempt.job_id].append(attempt)
    return jobs
