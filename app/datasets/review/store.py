"""SQL for reviews."""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.datasets.review.findings import Review
from app.datasets.review.reviewer import Reviewed
from app.db.sql import insert_missing
from app.db.tables import DatasetReview, to_json

RULES = 1
"""Version of the checks. Increase it if they change so much that stored reviews should be repeated."""


def find_review(session: Session, dataset_id: str) -> Review | None:
    """Return a dataset's review if the current version of the checks made it, or None."""
    found = session.scalar(
        select(DatasetReview.review).where(
            DatasetReview.dataset_id == dataset_id, DatasetReview.rules == RULES
        )
    )
    return None if found is None else Review.model_validate(found)


def find_hashes(session: Session, dataset_id: str) -> bytes | None:
    """Return the hashes of a dataset's distinct rows, or None if it has no review by the current version of the checks."""
    return session.scalar(
        select(DatasetReview.hashes).where(
            DatasetReview.dataset_id == dataset_id, DatasetReview.rules == RULES
        )
    )


def insert_review(session: Session, dataset_id: str, reviewed: Reviewed, now: datetime) -> None:
    """Store a review, replacing one made by another version of the checks."""
    session.execute(
        delete(DatasetReview).where(
            DatasetReview.dataset_id == dataset_id, DatasetReview.rules != RULES
        )
    )
    row = {
        "dataset_id": dataset_id,
        "rules": RULES,
        "review": to_json(reviewed.review),
        "hashes": reviewed.hashes,
        "created_at": now,
    }
    insert_missing(session, DatasetReview, [row])
