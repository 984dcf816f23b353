"""Handles hello messages and claims from workers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from app.attempts import device_failures, store
from app.attempts.device_failures import Judged
from app.attempts.finish import end_stale
from app.checkpoints import service as checkpoints
from app.config.settings import Settings
from app.datasets import store as datasets
from app.db.engine import database_now
from app.db.ids import new_id
from app.db.tables import Attempt, Job, to_json
from app.doorbell import is_ring_due
from app.events import store as events
from app.jobs import store as jobs
from app.jobs.queue import claims, reservations
from app.jobs.queue import order as queue
from app.jobs.queue.claims import Claimant, Taken
from app.leases import lease
from app.leases.lease import Times
from app.workers import service as workers
from app.workers import store as worker_rows
from contracts.attempt import Ability, AttemptStatus, Claim, ClaimRequest, DatasetFile, WorkerInfo
from contracts.data_spec import DatasetSource, HubDataset
from contracts.job import list_newer_defaults, load_stored_spec

PASS_ON_SECONDS = 0.2
"""Minimum time between repeated rings for a queue whose ring was taken by a worker with a failed device."""


class Hello(NamedTuple):
    """The result of handling a worker's hello."""

    is_current: bool
    """False if the message is stale, because the worker has sent a later one."""
    is_able: bool
    """Whether the worker can run jobs, that is, its device has not failed."""
    to_ring: list[str]
    """Queues to ring because a job was requeued or can be claimed now."""
    judged: Judged
    """The worker's stored state."""


class Granted(NamedTuple):
    """The reply to a claim."""

    claim: Claim | None
    """None if there is no job for the worker, or if the request is stale."""
    to_ring: list[str]
    """Queues to ring, because jobs that waited for a check or for a larger job can be claimed now."""


def receive_hello(session: Session, worker: WorkerInfo, times: Times) -> Hello:
    """Store the worker's hello, and end attempts that it no longer runs."""
    now = database_now(session)
    worker_rows.save_worker(session, worker, now)
    queues: list[str] = []
    if worker.idle is not None:
        if not worker_rows.take_turn(session, worker.worker_id, worker.idle):
            return Hello(False, False, [], Judged(worker, frozenset()))
        for attempt in store.list_running_of(session, worker.worker_id):
            is_same_slot = attempt.slot_id == worker.idle.slot
            if is_same_slot and (attempt.slot_turn or 0) < worker.idle.turn:
                queues += end_stale(session, attempt, times, now)
    queues += device_failures.apply_check(session, worker, now)
    judged = device_failures.judge_host(session, worker)
    if judged.worker is not worker:
        worker_rows.save_worker(session, judged.worker, now)
    is_able = workers.is_able(judged.worker)
    if not is_able and worker.idle is not None:
        queues += _pass_ring_on(session, worker, now)
    return Hello(True, is_able, queues, judged)


def claim_next(session: Session, request: ClaimRequest, settings: Settings) -> Granted:
    """Assign the worker the next job in its queue that it may claim.

    The worker does not get a job that needs more GPUs than it holds, or any job if its device has failed. A repeated
    claim returns the same attempt. Earlier attempts on the worker's device are ended first.
    """
    secret = settings.worker_token.get_secret_value()
    hello = receive_hello(session, request.worker, Times.of(settings))
    worker = hello.judged.worker
    if not hello.is_current or not hello.is_able:
        return Granted(None, hello.to_ring)
    repeated = _find_repeated(session, request, secret)
    if repeated is not None:
        token = lease.make_token(secret, repeated.id, request.claim_id)
        lease.hold(session, repeated.id, token, Times.of(settings))
        locked = jobs.lock_job(session, repeated.job_id)
        claim = _claim(session, repeated, locked, token, settings)
        return Granted(claim, hello.to_ring)
    now = database_now(session)
    attempt_id = new_id("att")
    taken, held = _take_job(session, request, hello.judged, attempt_id, now)
    to_ring = hello.to_ring + _rings_after(session, worker, taken, now)
    if taken.job is None:
        return Granted(None, to_ring)
    claim = _start_attempt(
        session, request, taken.job, taken.gpus, attempt_id, held=held, now=now, settings=settings
    )
    return Granted(claim, to_ring)


def write_claim(claim: Claim, worker: WorkerInfo) -> str:
    """Return a claim as JSON for a worker. Workers running earlier versions reject specs with unknown fields.

    The name of the preset is omitted for all workers, because the spec is complete without it.
    """
    left_out = list_newer_defaults(claim.spec, knows_resources=bool(worker.host_id))
    return claim.model_dump_json(exclude={"spec": left_out | {"preset": True}})


def _pass_ring_on(session: Session, worker: WorkerInfo, now: datetime) -> list[str]:
    """Return the queue to ring again if this worker took a ring but cannot run jobs and another worker can."""
    if not queue.count_claimable(session, worker.queue, now, 1):
        return []
    if not workers.list_ready(session, worker, now):
        return []
    # The same worker may also take the new ring. The minimum interval prevents a busy loop.
    is_due = is_ring_due(session, worker.queue, now, PASS_ON_SECONDS)
    return [worker.queue] if is_due else []


def _pass_large_on(session: Session, worker: WorkerInfo, now: datetime) -> list[str]:
    """Return the queue once per ready worker if this worker took the ring for a job that needs a larger host."""
    starters = workers.list_starters(session, worker.queue, now, worker.host_id)
    is_free = Job.reserved_host.is_(None)
    beyond = worker.cards if worker.host_id else 0
    if not queue.is_large_startable(session, worker.queue, now, starters, is_free, beyond=beyond):
        return []
    if not is_ring_due(session, worker.queue, now, PASS_ON_SECONDS):
        return []
    return [worker.queue] * len(workers.list_ready(session, worker, now))


def _pass_mixed_on(session: Session, worker: WorkerInfo, now: datetime) -> list[str]:
    """Return the queue once per ready worker if this worker took the ring for a job whose datasets it cannot mix."""
    if Ability.MIX_DATASETS in worker.abilities or not queue.has_mixed(session, worker.queue, now):
        return []
    ready = workers.list_ready(session, worker, now)
    if not any(Ability.MIX_DATASETS in other.abilities for other in ready):
        return []
    is_due = is_ring_due(session, worker.queue, now, PASS_ON_SECONDS)
    return [worker.queue] * len(ready) if is_due else []


def _take_job(
    session: Session, request: ClaimRequest, judged: Judged, attempt_id: str, now: datetime
) -> tuple[Taken, list[str]]:
    """Return the result of the claim, and the worker's cards in the order in which they are assigned to a job."""
    worker = judged.worker
    held = [card for card in dict.fromkeys(request.cards_held) if card not in judged.convicted]
    free_cards = len(held) or request.free_cards
    only, without = workers.claimable_models(session, worker, now)
    suspects = device_failures.list_suspects(session, worker, held, now)
    claimant = Claimant(
        worker.queue,
        now,
        only_models=only,
        except_models=without,
        except_jobs=suspects.jobs,
        host_id=worker.host_id,
        free_cards=free_cards,
        cards=max(worker.cards, free_cards),
        avoided=suspects.avoided,
        has_gpu=worker.device.kind == "cuda",
        memory_bytes=worker.device.memory_bytes,
        can_mix=Ability.MIX_DATASETS in worker.abilities,
    )
    taken = claims.claim_best(session, claimant, attempt_id)
    if taken.job is None and taken.waits_for is None and suspects.permitted:
        permitted = claimant._replace(except_jobs=(), only_jobs=suspects.permitted)
        taken = claims.claim_best(session, permitted, attempt_id)
    failed = suspects.cards.get(taken.job.id, set()) if taken.job else set()
    own = worker.device.uuid
    return taken, sorted(held, key=lambda card: (card != own, card in failed))


def _rings_after(session: Session, worker: WorkerInfo, taken: Taken, now: datetime) -> list[str]:
    """Return the queue after a claim that involved a large job, once per worker that may need to act."""
    if taken.ends_reservation:
        return reservations.rings_after(session, worker.queue, now)
    if taken.has_left:
        return [worker.queue] * len(workers.list_ready(session, worker, now))
    if taken.job is None and taken.waits_for is None:
        return _pass_large_on(session, worker, now) or _pass_mixed_on(session, worker, now)
    if not taken.has_reserved:
        return []
    assert taken.waits_for is not None  # noqa: S101  # the host is reserved for it
    # Another host may have enough free GPUs for the job, and any idle worker may take a ring.
    ready = workers.list_ready(session, worker, now)
    gpus = taken.waits_for.gpus
    is_large_enough = any(
        other.host_id not in {"", worker.host_id} and other.cards >= gpus for other in ready
    )
    return [worker.queue] * len(ready) if is_large_enough else []


def _start_attempt(
    session: Session,
    request: ClaimRequest,
    job: Job,
    gpus: int,
    attempt_id: str,
    *,
    held: Sequence[str],
    now: datetime,
    settings: Settings,
) -> Claim:
    worker, times = request.worker, Times.of(settings)
    secret = settings.worker_token.get_secret_value()
    token = lease.make_token(secret, attempt_id, request.claim_id)
    attempt = Attempt(
        id=attempt_id,
        job_id=job.id,
        number=job.attempt_number,
        status=AttemptStatus.RUNNING,
        token_sha256=lease.hash_token(token),
        worker_id=worker.worker_id,
        worker=to_json(worker),
        gpus=gpus,
        cards=list(held[:gpus]),
        slot_id=worker.idle.slot if worker.idle else None,
        slot_turn=worker.idle.turn if worker.idle else None,
        started_at=now,
        synced_at=now,
        lease_expires_at=times.lease_expires_at(now),
        takeover_at=times.takeover_at(now),
        acked_seq=0,
    )
    store.insert_attempt(session, attempt)
    figures: dict[str, Any] = {"number": attempt.number, "worker": worker.worker_id}
    if gpus > 1:
        figures["gpus"] = gpus
    events.insert_event(
        session,
        job.id,
        "attempt_started",
        now,
        attempt=attempt.number,
        **figures,
    )
    return _claim(session, attempt, job, token, settings)


def _find_repeated(session: Session, request: ClaimRequest, secret: str) -> Attempt | None:
    """Return the attempt created by an earlier request for this claim, identified by the token."""
    if request.claim_id is None:
        return None
    for attempt in store.list_running_of(session, request.worker.worker_id):
        token = lease.make_token(secret, attempt.id, request.claim_id)
        if lease.hash_token(token) == attempt.token_sha256:
            return attempt
    return None


def _claim(session: Session, attempt: Attempt, job: Job, token: str, settings: Settings) -> Claim:
    spec = load_stored_spec(job.spec)
    sources = [_describe(session, part.dataset) for part in spec.dataset.parts]
    points, earlier = checkpoints.list_resume_points(session, job)
    return Claim(
        attempt_id=attempt.id,
        job_id=job.id,
        number=attempt.number,
        submitted_at=job.created_at,
        token=token,
        spec=spec,
        gpus=attempt.gpus,
        cards=attempt.cards or [],
        train=None if spec.dataset.is_mixed else sources[0],
        mixed=sources if spec.dataset.is_mixed else [],
        eval=None if spec.dataset.eval is None else _describe(session, spec.dataset.eval),
        resume=points,
        earlier=earlier,
        sync_seconds=settings.sync_seconds,
        flush_seconds=settings.flush_seconds,
        lease_seconds=settings.lease_seconds,
    )


def _describe(session: Session, source: DatasetSource) -> DatasetFile | HubDataset:
    if isinstance(source, HubDataset):
        return source
    dataset = datasets.find_dataset(session, source)
    assert dataset is not None  # noqa: S101  # a dataset cannot be deleted while an unfinished job needs it
    return DatasetFile(
        dataset_id=dataset.id, sha256=dataset.sha256, bytes=dataset.bytes, rows=dataset.rows
    )
