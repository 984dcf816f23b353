"""Rules for imports: which workers may download, and how the rows that a worker sends become a dataset."""

from dataclasses import dataclass
from typing import BinaryIO

from sqlalchemy.orm import Session

from app.datasets.conversion.request import Limits
from app.datasets.refusal import Refused
from app.datasets.schemas import DatasetOrigin
from app.datasets.service import keep, store_dataset
from app.datasets.upload import Upload
from app.db.engine import Database
from app.db.tables import Errand
from app.errands import holding
from app.errands import service as errands
from app.errors.kinds import HubNotEnabled, WorkersTooOld
from app.models import service as models
from app.storage.data_dir import Storage
from contracts.dataset.columns.mapping import Columns
from contracts.errands.errand import (
    ErrandFailure,
    ErrandKind,
    ErrandOutcome,
    ImportRequest,
    ImportResult,
)
from contracts.errands.reason import ErrandReason

MOST_NAMED = 20
CHECK_SECONDS = 900.0
"""Lease of an errand while the server checks its rows. If the server stops in the meantime, the import starts again after this time."""


@dataclass(frozen=True)
class Received:
    """The JSONL received from a worker."""

    file: BinaryIO
    commit: str
    bytes: int


def request_import(session: Session, request: ImportRequest) -> Errand:
    """Create the errand that imports a dataset, or return the open one. Raises HubNotEnabled or WorkersTooOld."""
    live = [each.worker for each in models.list_installed(session)]
    if not any(ErrandKind.IMPORT in worker.errands for worker in live):
        old = [worker.worker_id for worker in live if worker.models is None]
        if old:
            raise WorkersTooOld(workers=", ".join(old[:MOST_NAMED]))
        names = ", ".join(worker.worker_id for worker in live[:MOST_NAMED]) or "-"
        raise HubNotEnabled(workers=names)
    return errands.create_errand(session, request)


def hold_for_check(database: Database, errand_id: str, token: str) -> None:
    """Extend the lease, because the worker cannot renew it while it waits for the check. Raises ErrandSuperseded."""
    with database.writing() as session:
        holding.extend(session, errand_id, token, CHECK_SECONDS)


def store_rows(
    database: Database,
    storage: Storage,
    errand_id: str,
    token: str,
    received: Received,
    *,
    limits: Limits,
    review_limits: Limits,
    background_bytes: int,
) -> bool:
    """Store the rows as a dataset and end the errand: with the dataset, or with the reason why the rows were rejected.

    Return whether the dataset has yet to be checked. Raises ErrandSuperseded or an AppError; the errand then stays open.
    """
    with database.reading() as session:
        errand = holding.get_held(session, errand_id, token)
        request = ImportRequest.model_validate(errand.request)
    origin = DatasetOrigin(
        hub=request.hub, config=request.config, split=request.split, revision=received.commit
    )
    filename = f"{request.hub.rpartition('/')[2]}.jsonl"

    def succeed(session: Session, dataset_id: str, is_new: bool) -> None:
        """End the errand in the transaction that stores the dataset: a cancelled import stores none."""
        keep(session, dataset_id, is_new)
        result = ImportResult(
            kind="import", dataset_id=dataset_id, revision=received.commit, bytes=received.bytes
        )
        holding.finish(session, errand_id, token, ErrandOutcome(result=result))

    try:
        store_dataset(
            database,
            storage,
            Upload(received.file, filename, "utf-8", limits),
            columns=Columns(request.format, request.columns),
            limits=review_limits,
            background_bytes=background_bytes,
            source=origin,
            also=succeed,
        )
    except Refused as refused:
        detail = "; ".join(refused.describe("en"))[:5000]
        failure = ErrandFailure(reason=ErrandReason.DATASET_REJECTED, detail=detail)
        with database.writing() as session:
            holding.finish(session, errand_id, token, ErrandOutcome(failure=failure), refused)
        return False
    return received.bytes >= background_bytes
