"""Distinguishes faulty devices from jobs that cause devices to fail.

If a device fails during an attempt, the job returns to the queue. No worker can claim the job until the device has been
checked or CHECK_SECONDS have passed. If the device fails the check, it was the cause. If it passes, either the job or
the device may be the cause:

- A job fails after MAX_DEVICES different devices have failed on it, or after MAX_REPEATS failures without a new
  checkpoint in between. Otherwise, it could disable one worker after another, or one worker indefinitely.
- A device on which MAX_JOBS jobs have failed without a success in between is excluded from jobs until its worker
  restarts. Otherwise, it could fail one job after another. Jobs on which MAX_DEVICES devices have failed do not count.

Until the cause is known, the job is not assigned to the same device again if another job or worker is available.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.db.tables import Attempt, DeviceFailure, Job
from app.events import store as events
from app.jobs import store as jobs
from app.jobs import transitions
from app.jobs.endings import device_failures as store
from app.jobs.queue import reservations
from app.jobs.queue.claims import Avoided
from app.workers import service as workers
from contracts.attempt import DeviceCheck, Outcome, WorkerInfo
from contracts.failure import Failure, FailureReason

MAX_DEVICES = 2
"""A job fails after this many different devices have failed during its attempts and subsequently passed a check."""
MAX_REPEATS = 3
"""A job fails after this many device failures without a new checkpoint in between, even on a single device."""
MAX_JOBS = 2
"""A device is excluded after it has failed on this many jobs without a success in between."""
CHECK_SECONDS = 60.0
"""Maximum time that a job waits for the check of a device that failed on it. A check takes about 10 seconds."""
APART_SECONDS = 600.0
"""Maximum time for which a worker leaves a job to other ready workers."""


class Judged(NamedTuple):
    """A worker, and the cards of its host that are excluded from jobs even though they pass their checks."""

    worker: WorkerInfo
    """If the worker's own device is one of these cards, it is marked as failed; otherwise, `cards` is reduced."""
    convicted: frozenset[str]


class Suspects(NamedTuple):
    """Jobs during which a card on the worker's host has failed since that card's last success."""

    jobs: list[str]
    """Jobs that the worker should leave to others."""
    permitted: list[str]
    """The subset of `jobs` that the worker may claim as a last resort, because no other worker is ready or
    APART_SECONDS have passed."""
    avoided: dict[int, Avoided]
    """Jobs that the worker may claim on cards other than the failed ones, by job number."""
    cards: dict[str, set[str]]
    """The cards that failed, by job id."""


def is_checked_failure(attempt: Attempt, outcome: Outcome) -> bool:
    """Return whether the attempt's device failed and its worker will check the device before the next claim."""
    if outcome.failure is None or outcome.failure.reason is not FailureReason.DEVICE_FAILED:
        return False
    return WorkerInfo.model_validate(attempt.worker).device_check is not None


def record_failure(
    session: Session, attempt: Attempt, job: Job, outcome: Outcome, now: datetime
) -> None:
    """Record that a device failed during an attempt. The job must be locked, and the worker must check its device."""
    worker = _find_owner(session, WorkerInfo.model_validate(attempt.worker), outcome, now)
    assert worker.device_check is not None  # noqa: S101  # see is_checked_failure
    failure = DeviceFailure(
        attempt_id=attempt.id,
        number=attempt.number,
        job_id=job.id,
        worker_id=worker.worker_id,
        worker_started_at=worker.started_at,
        device=(worker.device.uuid or worker.worker_id)[:200],
        check_count=worker.device_check.count,
        checkpoint_step=job.checkpoint_step,
        failed_at=now,
    )
    store.insert_failure(session, failure)


def _find_owner(
    session: Session, worker: WorkerInfo, outcome: Outcome, now: datetime
) -> WorkerInfo:
    """Return the worker whose device failed. In an attempt on several GPUs, the failed GPU may be a borrowed one."""
    card = outcome.failure.evidence.get("card") if outcome.failure else None
    if card is None or card == worker.device.uuid:
        return worker
    for other in workers.list_live(session, worker.queue, now):
        is_sibling = other.host_id == worker.host_id
        if is_sibling and other.device.uuid == card and other.device_check is not None:
            return other
    return worker


def apply_check(session: Session, worker: WorkerInfo, now: datetime) -> list[str]:
    """Update the jobs that are waiting for this worker's device check if it has a result. Return the queues to ring."""
    check = worker.device_check
    if check is None or check.pending:
        return []
    to_ring: list[str] = []
    for failure in store.list_unchecked(session, worker.worker_id):
        job = jobs.find_and_lock(session, failure.job_id)
        if job is None:
            continue
        if check.passed and check.count > failure.check_count:
            to_ring += _count(session, failure, job, now)
        elif check.passed:
            continue  # sent before the failure
        if store.mark_claimable(session, failure):
            # Two rings, because this worker may take one.
            to_ring += [job.queue] * 2
    return to_ring


def _count(session: Session, failure: DeviceFailure, job: Job, now: datetime) -> list[str]:
    """Count a device failure against the job, because the device has passed a check. Return the queues to ring."""
    was_reserved = job.reserved_host is not None
    store.mark_passed(session, failure, now)
    if job.status.is_final or not failure.blames_job:
        return []
    store.increment_version(session, job.id)
    events.insert_event(
        session,
        job.id,
        "device_check_passed",
        now,
        attempt=failure.number,
        level="warning",
        number=failure.number,
        worker=failure.worker_id,
    )
    attempt = session.get_one(Attempt, failure.attempt_id)
    fault = find_fault(session, job.id, Outcome.model_validate(attempt.outcome))
    # If the job is already running again, it fails only if its current device fails too, which finish_attempt decides.
    if fault and transitions.mark_failed_before_start(session, job.id, fault, now) is not None:
        events.insert_event(
            session, job.id, "job_failed", now, level="error", reason=fault.reason.value
        )
        return reservations.rings_after(session, job.queue, now) if was_reserved else []
    return []


def find_fault(session: Session, job_id: str, outcome: Outcome) -> Failure | None:
    """Return the reason to fail a job if devices have failed on it too often, otherwise None."""
    failures = store.list_against_job(session, job_id)
    if not failures:
        return None
    repeats = sum(each.checkpoint_step == failures[-1].checkpoint_step for each in failures)
    if len(_devices(failures)) < MAX_DEVICES and repeats < MAX_REPEATS:
        return None
    names = [f"attempt {each.number} on {each.worker_id}" for each in failures[-MAX_REPEATS:]]
    cause = outcome.failure or Failure(reason=FailureReason.DEVICE_FAILED)
    detail = (
        f"The device failed during {' and '.join(names)} but passed its check afterwards each time, so the job may be the "
        f"cause. Error of the last attempt:\n{cause.detail}"
    )
    return cause.model_copy(update={"detail": detail[:20_000]})


def judge_host(session: Session, worker: WorkerInfo) -> Judged:
    """Find cards on a worker's host that have failed during too many jobs since their workers started."""
    check = worker.device_check
    if check is None:
        return Judged(worker, frozenset())
    owners: dict[str, tuple[WorkerInfo, list[DeviceFailure]]] = {}
    for failure, owner in store.list_against_host(session, worker):
        if failure.worker_started_at == owner.started_at:
            owners.setdefault(owner.worker_id, (owner, []))[1].append(failure)
    own = owners.pop(worker.worker_id, None)
    if own is not None and check.passed:
        failures = own[1]
        suspects = _unconvicted_jobs(session, failures)
        if len(suspects) >= MAX_JOBS:
            reason = (
                f"The device passes its check, but it failed during jobs {' and '.join(suspects)} without a success in "
                "between. The server will not assign jobs to this worker until it is restarted."
            )
            since = failures[-1].failed_at
            failed = DeviceCheck(passed=False, count=check.count, reason=reason[:5000], since=since)
            return Judged(worker.model_copy(update={"device_check": failed}), frozenset())
    convicted = frozenset(
        owner.device.uuid
        for owner, failures in owners.values()
        if owner.device.uuid is not None
        and owner.device.name == worker.device.name  # cards of a different model are not borrowed
        # The worker itself does not count cards that have not passed a check.
        and all(each.passed_at is not None for each in failures)
        and len(_unconvicted_jobs(session, failures)) >= MAX_JOBS
    )
    if convicted:
        cards = max(1, worker.cards - len(convicted))
        worker = worker.model_copy(update={"cards": cards})
    return Judged(worker, convicted)


def list_suspects(
    session: Session, worker: WorkerInfo, held: Sequence[str], now: datetime
) -> Suspects:
    """Return the jobs that a worker should run on other cards or leave to others: the job or a card may be faulty.

    A job on one GPU avoids the card that failed. A job on several GPUs gets other cards of the host, or is left to
    other hosts if too few remain. A host that is reserved for a job keeps it. `held`: the cards that the worker holds;
    empty if it did not report them.
    """
    found = Suspects([], [], {}, {})
    if worker.device_check is None:
        return found
    failures = [failure for failure, _ in store.list_against_host(session, worker)]
    if not failures:
        return found
    ready = workers.list_ready(session, worker, now)
    for job_id in _jobs(failures):
        job = store.find_job(session, job_id)
        of_job = [failure for failure in failures if failure.job_id == job_id]
        is_own = any(failure.worker_id == worker.worker_id for failure in of_job)
        if job is None or (job.gpus == 1 and not is_own):
            continue
        cards = found.cards[job_id] = _devices(of_job)
        counted = len(_devices([failure for failure in of_job if failure.passed_at is not None]))
        rest = worker.cards - counted if held else 0
        is_enough = rest >= (job.gpus or 2)
        is_recent = max(each.failed_at for each in of_job) > now - timedelta(seconds=APART_SECONDS)
        if is_recent and is_enough and not is_own and job.gpus != 1:
            found.avoided[job.number] = Avoided(len(cards & set(held)), counted)
            continue
        if worker.host_id and job.reserved_host == worker.host_id:
            continue
        found.jobs.append(job_id)
        others = [
            other
            for other in ready
            if _is_alternative(worker, other, job)
            or (is_enough and other.host_id == worker.host_id and other.device.uuid not in cards)
        ]
        if not (is_recent and others):
            found.permitted.append(job_id)
    return found


def _is_alternative(worker: WorkerInfo, other: WorkerInfo, job: Job) -> bool:
    """Return whether a ready worker on another host can run the job there."""
    if other.models is not None and job.model not in other.models:
        return False
    if job.gpus == 1:
        return True
    return other.host_id not in {"", worker.host_id} and other.cards >= job.gpus


def _unconvicted_jobs(session: Session, failures: Sequence[DeviceFailure]) -> list[str]:
    return [job_id for job_id in _jobs(failures) if not _is_convicted(session, job_id)]


def _is_convicted(session: Session, job_id: str) -> bool:
    return len(_devices(store.list_against_job(session, job_id))) >= MAX_DEVICES


def _devices(failures: Sequence[DeviceFailure]) -> set[str]:
    return {failure.device for failure in failures}


def _jobs(failures: Sequence[DeviceFailure]) -> list[str]:
    return list(dict.fromkeys(failure.job_id for failure in failures))
