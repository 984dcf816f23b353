"""SQL that only OpenAI's API needs: the files of jobs, and figures of their summaries."""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.openai_tables import FineTune
from app.db.tables import Job


def insert_fine_tune(session: Session, fine_tune: FineTune) -> None:
    """Store the files that a job was created with."""
    session.add(fine_tune)
    session.flush()


def find_fine_tunes(session: Session, job_ids: Collection[str]) -> dict[str, FineTune]:
    """Return the files of jobs that OpenAI's clients created, by job id."""
    rows = session.scalars(select(FineTune).where(FineTune.job_id.in_(job_ids)))
    return {row.job_id: row for row in rows}


def find_trained_tokens(session: Session, job_ids: Collection[str]) -> dict[str, int]:
    """Return the number of supervised tokens of each finished job."""
    tokens = Job.summary["supervised_tokens"].as_integer()
    rows = session.execute(select(Job.id, tokens).where(Job.id.in_(job_ids)))
    return {job_id: count for job_id, count in rows if count is not None}
