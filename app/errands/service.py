"""What users can do with errands: request, list, show and cancel them. Identical requests share one errand."""

import hashlib
import zlib
from datetime import timedelta

from sqlalchemy.orm import Session

from app.datasets.refusal import Refused
from app.db.engine import database_now
from app.db.ids import is_id, new_id
from app.db.tables import Errand, to_json
from app.errands import store
from app.errands.schemas import ErrandError, ErrandProgressView, ErrandSource, ErrandView
from app.errors.base import error_body
from app.errors.kinds import ErrandEnded, ErrandNotFound, TooManyErrands
from app.http.paging import Page, decode_cursor, encode_cursor
from contracts.errands.errand import (
    ErrandFailure,
    ErrandKind,
    ErrandRequest,
    ErrandStatus,
    ImportRequest,
    ImportResult,
    PrefetchResult,
    PreviewRequest,
)
from contracts.errands.measurement import MeasureRequest
from contracts.errands.reason import ErrandReason
from contracts.failure import Language

FRESH_SECONDS = 600.0
"""How long a result is used for identical requests. It is limited, because the model's files may change."""
FAILED_SECONDS = 30.0
"""How long a failure is returned for identical requests, so that polling clients see it."""
MOST_OPEN = 100
"""Maximum number of errands per kind that have not ended."""


def find_answer(session: Session, request: ErrandRequest) -> Errand | None:
    """Return an errand that answers a request: an open one, or one that has ended recently."""
    errand = store.find_newest(session, _key(request))
    if errand is None or errand.finished_at is None:
        return errand
    if errand.status is ErrandStatus.CANCELLED:
        return None
    fresh = FRESH_SECONDS if errand.status is ErrandStatus.SUCCEEDED else FAILED_SECONDS
    age_seconds = (database_now(session) - errand.finished_at).total_seconds()
    return errand if age_seconds < fresh else None


def create_errand(session: Session, request: ErrandRequest) -> Errand:
    """Create an errand, or return the open one of an identical request. Raises TooManyErrands."""
    kind, key = ErrandKind(request.kind), _key(request)
    known = store.find_newest(session, key)
    if known is not None and not known.status.is_final:
        return known
    count = store.count_open(session, kind)
    if count >= MOST_OPEN:
        raise TooManyErrands(count=count)
    now = database_now(session)
    row = {
        "id": new_id("errand"),
        "kind": kind,
        "key": key,
        "status": ErrandStatus.QUEUED,
        "model": "" if isinstance(request, ImportRequest) else request.model,
        "dataset_id": request.dataset_id
        if isinstance(request, PreviewRequest | MeasureRequest)
        else None,
        "request": to_json(request),
        "tries": 0,
        "created_at": now,
        "expires_at": now + timedelta(seconds=kind.unclaimed_seconds),
    }
    store.insert_errand(session, row)
    errand = store.find_newest(session, key)
    assert errand is not None  # noqa: S101  # it has just been inserted, or already existed
    return errand


def get_errand(session: Session, errand_id: str) -> Errand:
    """Return an errand. Raises ErrandNotFound."""
    errand = store.find_errand(session, errand_id) if is_id(errand_id) else None
    if errand is None:
        raise ErrandNotFound(errand=errand_id[:100])
    return errand


def list_errands(
    session: Session, cursor: str | None, limit: int, language: Language
) -> Page[ErrandView]:
    """Return a page of errands, newest first. Raises BadCursor."""
    below = decode_cursor(cursor, 1)[0] if cursor else None
    rows = store.list_errands(session, below, limit + 1)
    page = rows[:limit]
    return Page(
        data=[view(session, errand, language) for errand in page],
        has_more=len(rows) > limit,
        cursor=encode_cursor(page[-1].number) if page else cursor,
    )


def cancel_errand(session: Session, errand_id: str) -> Errand:
    """End an errand; its worker stops at its next beat. A repeated request changes nothing. Raises ErrandNotFound or ErrandEnded."""
    errand = get_errand(session, errand_id)
    failure = ErrandFailure(reason=ErrandReason.CANCELLED)
    is_cancelled = store.cancel_errand(session, errand_id, to_json(failure), database_now(session))
    errand = get_errand(session, errand_id)
    if not is_cancelled and errand.status is not ErrandStatus.CANCELLED:
        raise ErrandEnded(errand=errand_id, status=errand.status)
    return errand


def read_result(session: Session, errand_id: str) -> bytes | None:
    """Return the result of an errand as JSON, or None."""
    packed = store.find_result(session, errand_id)
    return None if packed is None else zlib.decompress(packed)


def view(session: Session, errand: Errand, language: Language) -> ErrandView:
    """Return an errand as users see it."""
    revision, dataset, source = errand.request.get("revision"), errand.dataset_id, None
    content = None
    is_download = errand.kind in {ErrandKind.PREFETCH, ErrandKind.IMPORT}
    if is_download and errand.status is ErrandStatus.SUCCEEDED:
        content = read_result(session, errand.id)
    if content is not None and errand.kind is ErrandKind.PREFETCH:
        revision = PrefetchResult.model_validate_json(content).revision
    if content is not None and errand.kind is ErrandKind.IMPORT:
        result = ImportResult.model_validate_json(content)
        revision, dataset = result.revision, result.dataset_id
    if errand.kind is ErrandKind.IMPORT:
        request = ImportRequest.model_validate(errand.request)
        source = ErrandSource(
            hub=request.hub, config=request.config, split=request.split, revision=revision
        )
    return ErrandView(
        id=errand.id,
        kind=errand.kind,
        status=errand.status,
        model=errand.model or None,
        dataset=dataset,
        source=source,
        revision=revision,
        worker=errand.worker_id,
        progress=None
        if errand.progress is None
        else ErrandProgressView.model_validate(errand.progress),
        error=_error(errand, language),
        created_at=errand.created_at,
        started_at=errand.claimed_at,
        finished_at=errand.finished_at,
    )


def find_failure(errand: Errand) -> ErrandFailure | None:
    """Return why an errand failed, or None."""
    return None if errand.failure is None else ErrandFailure.model_validate(errand.failure)


def _error(errand: Errand, language: Language) -> ErrandError | None:
    failure = find_failure(errand)
    if failure is None:
        return None
    detail, problems = failure.detail, []
    stored = (errand.failure or {}).get("refusal")
    if stored is not None:
        refused = Refused.load(stored)
        detail, problems = (
            error_body(refused.error(language), language).error.message,
            refused.describe(language),
        )
    message = failure.reason.message(language)
    return ErrandError(code=failure.reason, message=message, detail=detail, problems=problems)


def _key(request: ErrandRequest) -> str:
    return hashlib.sha256(request.model_dump_json().encode()).hexdigest()
