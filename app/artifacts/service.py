"""Rules for artifacts: which files a worker may upload, and which files users can list and download."""

import re
from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial

from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.artifacts import store
from app.db.engine import Database
from app.db.tables import Artifact
from app.errors.kinds import ArtifactNotFound, BadArtifactName
from app.events import store as events
from app.jobs import service as jobs
from app.jobs import store as job_rows
from app.leases import lease
from app.leases.lease import Times
from app.storage.data_dir import Storage
from app.storage.uploads import ReceivedFile, check_body, receive

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class ArtifactView(BaseModel):
    """An artifact as users see it."""

    name: str
    bytes: int
    sha256: str
    attempt: int
    created_at: datetime


def list_artifacts(session: Session, job_id: str) -> list[ArtifactView]:
    """Return a job's artifacts. For each name, only the newest attempt's artifact is listed. Raises JobNotFound."""
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
    """Return the job's newest artifact with this name. Raises JobNotFound, ArtifactNotFound."""
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
    """Receive a worker's upload. Return False if the attempt has already stored the same content, otherwise True.

    Raises BadArtifactName, ChecksumMismatch, or a lease error.
    """
    if _NAME.fullmatch(name) is None:
        raise BadArtifactName("name")
    job_id, stored_sha256 = await run_in_threadpool(
        _begin, database, times, attempt_id=attempt_id, token=token, name=name
    )
    sha256 = announced_sha256.lower()
    if sha256 == stored_sha256:
        await check_body(storage, body, announced_sha256)
        return False
    await receive(
        storage,
        body,
        sha256=announced_sha256,
        path=storage.artifact(job_id, attempt_id, sha256, name),
        commit=partial(_commit, database, times, attempt_id=attempt_id, token=token, name=name),
    )
    return True


def _begin(
    database: Database, times: Times, *, attempt_id: str, token: str, name: str
) -> tuple[str, str | None]:
    """Return the attempt's job id, and the SHA-256 of its artifact with this name, if any."""
    with database.writing() as session:
        attempt, _ = lease.hold(session, attempt_id, token, times)
        stored = store.find_of_attempt(session, attempt_id, name)
        return attempt.job_id, stored.sha256 if stored else None


def _commit(
    database: Database, times: Times, file: ReceivedFile, *, attempt_id: str, token: str, name: str
) -> str | None:
    """Store the artifact's row if the attempt still holds its lease. Return the path of the replaced file, if any."""
    with database.writing() as session:
        attempt, now = lease.hold(session, attempt_id, token, times)
        job_rows.lock_job(session, attempt.job_id)
        before = store.find_of_attempt(session, attempt.id, name)
        replaced = before.path if before is not None and before.path != file.path else None
        if before is not None:
            session.expunge(before)
        artifact = Artifact(
            attempt_id=attempt.id,
            name=name,
            sha256=file.sha256,
            bytes=file.bytes,
            path=file.path,
            created_at=now,
        )
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
