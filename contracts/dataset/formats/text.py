"""Plain text: `{"text": …}`. The model is trained on every token."""

from typing import Any

from contracts.dataset.conversation import Document
from contracts.dataset.values import read_text, require

REQUIRED = ("text",)
OPTIONAL = ()


def read(row: dict[Any, Any]) -> Document:
    """Return a row of plain text."""
    return Document(read_text(require(row, "text"), "text"))
