"""Errands on workers: a worker claims one, holds it under a lease, and sends its result, which is kept for a while."""

import secrets
import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.datasets import store as datasets
from app.datasets.refusal import Refused
from app.datasets.tokens.store import replace_tokens
from app.db.engine import database_now
from app.db.ids import is_id
from app.db.tables import Errand, to_json
from app.errands import store
from app.errors.kinds import ErrandSuperseded
from app.leases.lease import hash_token
from contracts.errands.errand import (
    MOST_TRIES,
    PREVIEW_REVISIONS,
    ErrandBeat,
    ErrandClaim,
    ErrandClaimRequest,
    ErrandFailure,
    ErrandKind,
    ErrandOutcome,
    ErrandProgress,
    ErrandResult,
    ErrandStatus,
    ImportResult,
    PrefetchResult,
)
from contracts.errands.measurement import MeasureRequest, MeasureResult
from contracts.errands.reason import ErrandReason

LEASE_SECONDS = 20.0
"""Time without a report after which an errand is given to another worker."""
KEPT_SECONDS = 3600.0
"""How long an errand is kept after it has ended."""
MOST_KEPT = 100
"""Maximum number of ended errands that are kept."""
_NEEDING_MODELS = {ErrandKind.PREVIEW, ErrandKind.MEASURE}
"""Kinds that only a worker with the model can run."""


def claim_next(
    session: Session,
    request: ErrandClaimRequest,
    *,
    limit_bytes: int | None = None,
    has_waited: bool = False,
) -> ErrandClaim | None:
    """Assign a worker the oldest errand that it can run. Return None if there is none.

    A worker runs one errand of each kind at a time, so a worker that claims another one has lost the errand that it still
    holds. If this claim has waited, a later claim from the same worker may have received an errand in the meantime; this one
    then gets none. `limit_bytes` is the maximum size of an imported dataset.
    """
    now = database_now(session)
    for held in store.list_held(session, request.worker_id, request.kinds):
        if has_waited:
            return None
        _lose(session, held, now)
    for errand in store.list_queued(session, request.kinds, now):
        if errand.kind in _NEEDING_MODELS and errand.model not in request.models:
            continue
        if (
            errand.kind is ErrandKind.PREVIEW
            and errand.request.get("revision") is not None
            and PREVIEW_REVISIONS not in request.kinds
        ):
            continue
        token = secrets.token_urlsafe(32)
        is_claimed = store.claim_errand(
            session,
            errand,
            worker_id=request.worker_id.replace("\0", ""),
            token_sha256=hash_token(token),
            now=now,
            expires_at=now + timedelta(seconds=LEASE_SECONDS),
        )
        if is_claimed:
            return ErrandClaim.model_validate(
                {
                    "errand_id": errand.id,
                    "token": token,
                    "lease_seconds": LEASE_SECONDS,
                    "request": errand.request,
                    "limit_bytes": limit_bytes if errand.kind is ErrandKind.IMPORT else None,
                }
            )
    return None


def get_held(session: Session, errand_id: str, token: str) -> Errand:
    """Return a running errand. Raises ErrandSuperseded if the token does not hold it."""
    errand = store.find_errand(session, errand_id) if is_id(errand_id) else None
    is_held = (
        errand is not None
        and errand.status is ErrandStatus.RUNNING
        and errand.token_sha256 == hash_token(token)
    )
    if errand is None or not is_held:
        raise ErrandSuperseded(errand=errand_id[:100])
    return errand


def get_import(session: Session, errand_id: str, token: str) -> Errand:
    """Return a running import. Raises ErrandSuperseded if the token does not hold it."""
    errand = get_held(session, errand_id, token)
    if errand.kind is not ErrandKind.IMPORT:
        raise ErrandSuperseded(errand=errand_id[:100])
    return errand


def extend(session: Session, errand_id: str, token: str, seconds: float) -> None:
    """Set an errand's lease to end this long from now. Raises ErrandSuperseded."""
    expires_at = database_now(session) + timedelta(seconds=seconds)
    if not store.renew(session, errand_id, hash_token(token), expires_at, None):
        raise ErrandSuperseded(errand=errand_id[:100])


def renew(session: Session, errand_id: str, token: str, beat: ErrandBeat) -> None:
    """Renew the lease of an errand. Raises ErrandSuperseded."""
    expires_at = database_now(session) + timedelta(seconds=LEASE_SECONDS)
    progress = None if beat.progress is None else to_json(beat.progress)
    if not is_id(errand_id) or not store.renew(
        session, errand_id, hash_token(token), expires_at, progress
    ):
        raise ErrandSuperseded(errand=errand_id[:100])


def finish(
    session: Session,
    errand_id: str,
    token: str,
    outcome: ErrandOutcome,
    refusal: Refused | None = None,
) -> None:
    """End an errand with its result or failure. Raises ErrandSuperseded.

    `refusal` is stored with the failure, so that it can be shown in either language.
    """
    errand = get_held(session, errand_id, token)
    failure, result = outcome.failure, outcome.result
    if failure is None and (result is None or result.kind != errand.kind):
        failure = ErrandFailure(
            reason=ErrandReason.CRASHED, detail="The worker did not send a result of this kind."
        )
    packed = None
    now = database_now(session)
    if failure is None and isinstance(result, MeasureResult):
        _keep_tokens(session, errand, result, now)
    elif failure is None and result is not None:
        content = result.model_dump_json(exclude_defaults=True)
        packed = zlib.compress(content.encode(), level=1)
    is_finished = store.finish_errand(
        session,
        errand_id,
        hash_token(token),
        now=now,
        result=packed,
        failure=None if failure is None else to_json(failure) | _dump(refusal),
        progress=None if failure is not None or result is None else _whole(result),
    )
    if not is_finished:
        raise ErrandSuperseded(errand=errand_id[:100])


def _keep_tokens(session: Session, errand: Errand, result: MeasureResult, now: datetime) -> None:
    """Store token counts, which outlive their errand. Raises ErrandSuperseded if the dataset has been deleted."""
    request = MeasureRequest.model_validate(errand.request)
    if datasets.lock_dataset(session, request.dataset_id) is None:
        raise ErrandSuperseded(errand=errand.id)
    replace_tokens(
        session,
        request.dataset_id,
        result.tokenizer,
        result.counts,
        now,
        model=errand.model,
        worker_id=errand.worker_id or "",
    )


def extend_running(session: Session) -> None:
    """Extend the leases of all running errands, because no server was running to renew them."""
    store.extend_running(session, database_now(session) + timedelta(seconds=LEASE_SECONDS))


def end_expired(session: Session) -> Sequence[str]:
    """Handle errands whose time has passed: those of silent workers are queued again or ended, and unclaimed ones are ended.

    Return the ids of the errands that have ended.
    """
    now = database_now(session)
    ended = [
        errand.id for errand in store.list_expired(session, now) if _expire(session, errand, now)
    ]
    store.delete_ended(session, now, KEPT_SECONDS, MOST_KEPT)
    return ended


def _dump(refusal: Refused | None) -> dict[str, Any]:
    return {} if refusal is None else {"refusal": refusal.dump()}


def _whole(result: ErrandResult) -> dict[str, Any] | None:
    """Return the progress of a completed download, which is all of its bytes."""
    if not isinstance(result, PrefetchResult | ImportResult):
        return None
    return to_json(ErrandProgress(bytes_done=result.bytes, bytes_total=result.bytes))


def _expire(session: Session, errand: Errand, now: datetime) -> bool:
    """Return whether the errand has ended."""
    if errand.status is ErrandStatus.RUNNING:
        return _lose(session, errand, now)
    detail = f"No worker claimed it within {errand.kind.unclaimed_seconds:.0f} seconds."
    failure = ErrandFailure(reason=ErrandReason.UNCLAIMED, detail=detail)
    return store.give_up(session, errand, to_json(failure), now)


def _lose(session: Session, errand: Errand, now: datetime) -> bool:
    """Queue an errand again or end it, because its worker no longer runs it. Return whether it has ended."""
    if errand.tries < MOST_TRIES:
        expires_at = now + timedelta(seconds=errand.kind.unclaimed_seconds)
        store.queue_again(session, errand, expires_at)
        return False
    detail = f"{errand.tries} workers lost it; the last one was {errand.worker_id}."
    failure = ErrandFailure(reason=ErrandReason.WORKER_LOST, detail=detail)
    return store.give_up(session, errand, to_json(failure), now)
