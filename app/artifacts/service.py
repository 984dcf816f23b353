"""Rules of artifacts: a worker's uploads, and the artifacts that users see and download."""

import re
from collections.abc import AsyncIterator
from datetime import datetime

from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.artifacts import store
from app.db.engine import Database
from app.db.tables import Artifact
from app.errors.disk import storage_errors
from app.errors.kinds import ArtifactNotFound, BadArtifactName
from app.events import store as events
from app.jobs import service as jobs
from app.jobs import store as job_rows
from app.leases import lease
from app.leases.lease import Times
from app.storage.data_dir import Storage
from app.storage.uploads import write_body

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class ArtifactView(BaseModel):
    """An artifact as users see it."""

    name: str
    bytes: int
    sha256: str
    attempt: int
    created_at: datetime


def list_artifacts(session: Session, job_id: str) -> list[ArtifactView]:
    """Return a job's artifacts; for each name only the newest attempt's. Raises JobNotFound."""
    jobs.require_job(session, job_id)
    return [
        ArtifactView(
            name=artifact.name,
            bytes=artifact.bytes,
            sha256=artifact.sha256,
            attempt=number,
            created_at=artifact.created_at,
        )
        for artifact, number in store.list_of_job(session, job_id)
    ]


def get_artifact(session: Session, job_id: str, name: str) -> Artifact:
    """Return a job's artifact. Raises ArtifactNotFound."""
    jobs.require_job(session, job_id)
    for artifact, _ in store.list_of_job(session, job_id):
        if artifact.name == name:
            return artifact
    raise ArtifactNotFound(job=job_id, name=name[:100])


async def receive_artifact(
    database: Database,
    storage: Storage,
    times: Times,
    *,
    attempt_id: str,
    token: str,
    name: str,
    announced_sha256: str,
    body: AsyncIterator[bytes],
) -> bool:
    """Receive an upload; return whether it is new. No transaction is open during the upload."""
    if _NAME.fullmatch(name) is None:
        raise BadArtifactName("name")
    job_id, stored_sha256 = await run_in_threadpool(
        _begin, database, times, attempt_id=attempt_id, token=token, name=name
    )
    with storage_errors(), storage.draft() as draft:
        await write_body(draft, body, announced_sha256)
        if draft.sha256 == stored_sha256:
            return False
        path = storage.artifact(job_id, attempt_id, draft.sha256, name)
        await run_in_threadpool(draft.keep, path)
    artifact = Artifact(
        attempt_id=attempt_id, name=name, sha256=draft.sha256, bytes=draft.bytes, path=path
    )
    replaced = await run_in_threadpool(_end, database, times, token=token, artifact=artifact)
    if replaced is not None:
        await run_in_threadpool(storage.delete, replaced)
    return True


def _begin(
    database: Database, times: Times, *, attempt_id: str, token: str, name: str
) -> tuple[str, str | None]:
    with database.writing() as session:
        attempt, _ = lease.hold(session, attempt_id, token, times)
        stored = store.find_of_attempt(session, attempt_id, name)
        return attempt.job_id, stored.sha256 if stored else None


def _end(database: Database, times: Times, *, token: str, artifact: Artifact) -> str | None:
    """Store the row of the kept file, if the attempt is still current; return the path of the file that it replaces."""
    with database.writing() as session:
        attempt, now = lease.hold(session, artifact.attempt_id, token, times)
        job_rows.lock_job(session, attempt.job_id)
        before = store.find_of_attempt(session, attempt.id, artifact.name)
        replaced = before.path if before is not None and before.path != artifact.path else None
        if before is not None:
            session.expunge(before)
        artifact.created_at = now
        store.save_artifact(session, artifact)
        events.insert_event(
            session,
            attempt.job_id,
            "artifact_uploaded",
            now,
            attempt=attempt.number,
            name=artifact.name,
            bytes=artifact.bytes,
        )
        return replaced
