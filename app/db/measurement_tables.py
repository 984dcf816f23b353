"""Tables of measurements: the token counts of datasets."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables import Base


class DatasetTokens(Base):
    """A dataset's token counts with one tokenizer and chat template."""

    __tablename__ = "dataset_tokens"

    dataset_id: Mapped[str] = mapped_column(
        ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True
    )
    tokenizer: Mapped[str] = mapped_column(String(64), primary_key=True)
    """ModelFacts.tokenizer."""
    model: Mapped[str] = mapped_column(String(200))
    """The model whose tokenizer was used; other models may have the same tokenizer."""
    worker_id: Mapped[str] = mapped_column(String(200))
    counts: Mapped[dict[str, Any]]
    """A TokenCounts."""
    created_at: Mapped[datetime]
