"""SQL for artifacts."""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.db.tables import Artifact, Attempt


def list_of_job(session: Session, job_id: str) -> Sequence[tuple[Artifact, int]]:
    """Return a job's artifacts with their attempt numbers. For each name, only the newest attempt's artifact is returned."""
    rows = session.execute(
        select(Artifact, Attempt.number)
        .join(Attempt, Attempt.id == Artifact.attempt_id)
        .where(Attempt.job_id == job_id)
        .order_by(Artifact.name, Attempt.number)
    )
    newest = {artifact.name: (artifact, number) for artifact, number in rows}
    return list(newest.values())


def find_of_attempt(session: Session, attempt_id: str, name: str) -> Artifact | None:
    """Return an attempt's artifact with this name."""
    return session.get(Artifact, (attempt_id, name))


def has_named(session: Session, job_id: str, name: str) -> bool:
    """Return whether a job has an artifact with this name."""
    of_job = select(Attempt.id).where(Attempt.job_id == job_id)
    query = select(Artifact.name).where(Artifact.attempt_id.in_(of_job), Artifact.name == name)
    return session.scalar(query.limit(1)) is not None


def save_artifact(session: Session, artifact: Artifact) -> None:
    """Store an artifact, replacing any earlier one with the same name. The caller must have locked the attempt's row."""
    session.execute(
        delete(Artifact)
        .where(Artifact.attempt_id == artifact.attempt_id, Artifact.name == artifact.name)
        .execution_options(synchronize_session=False)
    )
    session.add(artifact)
    session.flush()


def delete_named(session: Session, job_id: str, name: str) -> list[str]:
    """Delete a job's artifacts with this name. Return the paths of their files. The caller must have locked the job's row."""
    of_job = select(Attempt.id).where(Attempt.job_id == job_id)
    chosen = Artifact.attempt_id.in_(of_job), Artifact.name == name
    paths = session.scalars(select(Artifact.path).where(*chosen)).all()
    session.execute(delete(Artifact).where(*chosen).execution_options(synchronize_session=False))
    return list(paths)
