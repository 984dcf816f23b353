"""SQL for checkpoints and their shared files."""

from collections.abc import Collection, Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.db.tables import Attempt, Checkpoint, CheckpointBlob, Record
from app.leases.store import HeldAttempt


def list_of_job(session: Session, job_id: str) -> list[tuple[Checkpoint, int]]:
    """Return a job's checkpoints with their attempt numbers, newest attempt and step first."""
    rows = session.execute(
        select(Checkpoint, Attempt.number)
        .join(Attempt, Attempt.id == Checkpoint.attempt_id)
        .where(Checkpoint.job_id == job_id)
        .order_by(Attempt.number.desc(), Checkpoint.step.desc())
        .execution_options(populate_existing=True)
    )
    return [(checkpoint, number) for checkpoint, number in rows]


def find_checkpoint(session: Session, checkpoint_id: str) -> Checkpoint | None:
    """Return a checkpoint, or None."""
    return session.get(Checkpoint, checkpoint_id)


def find_of_attempt(session: Session, attempt_id: str, step: int) -> Checkpoint | None:
    """Return an attempt's checkpoint at this step."""
    return session.scalars(
        select(Checkpoint)
        .where(Checkpoint.attempt_id == attempt_id, Checkpoint.step == step)
        .execution_options(populate_existing=True)
    ).one_or_none()


def is_recorded(session: Session, attempt: HeldAttempt, step: int) -> bool:
    """Return whether the record of this checkpoint and all earlier records have arrived."""
    found = session.scalar(
        select(Record.seq)
        .where(
            Record.attempt_id == attempt.id,
            Record.type == "checkpoint",
            Record.step == step,
            Record.seq <= attempt.acked_seq,
        )
        .limit(1)
    )
    return found is not None


def find_eval_loss(session: Session, attempt_id: str, step: int) -> float | None:
    """Return the evaluation loss that the attempt recorded at this step."""
    data = session.scalars(
        select(Record.data)
        .where(Record.attempt_id == attempt_id, Record.type == "eval", Record.step == step)
        .order_by(Record.seq.desc())
        .limit(1)
    ).first()
    loss = None if data is None else data.get("loss")
    return loss if isinstance(loss, float) else None


def insert_checkpoint(session: Session, checkpoint: Checkpoint) -> None:
    """Store a new checkpoint's row. The caller must have locked the attempt's row."""
    session.add(checkpoint)
    session.flush()


def delete_checkpoints(session: Session, ids: Collection[str]) -> None:
    """Delete checkpoint rows."""
    session.execute(
        delete(Checkpoint)
        .where(Checkpoint.id.in_(ids))
        .execution_options(synchronize_session=False)
    )


def list_blobs(session: Session, job_id: str) -> Sequence[CheckpointBlob]:
    """Return the files of a job's checkpoints."""
    return session.scalars(select(CheckpointBlob).where(CheckpointBlob.job_id == job_id)).all()


def find_blob(session: Session, job_id: str, sha256: str) -> CheckpointBlob | None:
    """Return the file with this content."""
    return session.get(CheckpointBlob, (job_id, sha256))


def save_blob(session: Session, blob: CheckpointBlob) -> None:
    """Store a file's row, replacing any earlier one. The caller must have locked the job's row."""
    delete_blobs(session, blob.job_id, [blob.sha256])
    session.add(blob)
    session.flush()


def delete_blobs(session: Session, job_id: str, digests: Collection[str]) -> None:
    """Delete file rows."""
    session.execute(
        delete(CheckpointBlob)
        .where(CheckpointBlob.job_id == job_id, CheckpointBlob.sha256.in_(digests))
        .execution_options(synchronize_session=False)
    )
