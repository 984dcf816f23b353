"""SQL for token counts."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Row, delete, select
from sqlalchemy.orm import Session

from app.db.measurement_tables import DatasetTokens
from app.db.tables import to_json
from contracts.errands.measurement import TokenCounts


def replace_tokens(
    session: Session,
    dataset_id: str,
    tokenizer: str,
    counts: TokenCounts,
    now: datetime,
    *,
    model: str,
    worker_id: str,
) -> None:
    """Store a dataset's counts with a tokenizer. The caller must have locked the dataset."""
    session.execute(
        delete(DatasetTokens)
        .where(DatasetTokens.dataset_id == dataset_id, DatasetTokens.tokenizer == tokenizer)
        .execution_options(synchronize_session=False)
    )
    row = DatasetTokens(
        dataset_id=dataset_id,
        tokenizer=tokenizer,
        model=model,
        worker_id=worker_id,
        counts=to_json(counts),
        created_at=now,
    )
    session.add(row)
    session.flush()


def list_counted(session: Session, dataset_id: str) -> Sequence[Row[str, str, datetime]]:
    """Return the model, tokenizer and time of each of a dataset's counts, newest first."""
    query = select(DatasetTokens.model, DatasetTokens.tokenizer, DatasetTokens.created_at)
    query = query.where(DatasetTokens.dataset_id == dataset_id)
    return session.execute(query.order_by(DatasetTokens.created_at.desc())).all()


def find_tokens(
    session: Session, dataset_id: str, model: str, tokenizers: Collection[str]
) -> DatasetTokens | None:
    """Return the newest counts with one of the tokenizers, or with the model if no tokenizers are given; None if there are none."""
    query = select(DatasetTokens).where(DatasetTokens.dataset_id == dataset_id)
    if tokenizers:
        query = query.where(DatasetTokens.tokenizer.in_(tokenizers))
    else:
        query = query.where(DatasetTokens.model == model)
    return session.scalars(query.order_by(DatasetTokens.created_at.desc()).limit(1)).one_or_none()
