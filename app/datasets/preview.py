"""The first rows of a stored dataset, in the form used for training."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from app.datasets.schemas import Conversation, Turn
from contracts.dataset.conversation import Document, Parsed
from contracts.dataset.row_error import RowError
from contracts.dataset.rows import parse_row

PREVIEWED_ROWS = 3
PREVIEWED_CHARACTERS = 1000


def preview(path: Path) -> Iterator[Conversation]:
    """Yield the first rows of a JSONL file."""
    with path.open("rb") as file:
        for number, line in enumerate(itertools.islice(file, PREVIEWED_ROWS), start=1):
            try:
                row = parse_row(json.loads(line), number)
            except RowError:
                # Accepted by an earlier version. A job that trains on this row fails and reports the line.
                continue
            yield _previewed(row)


def _previewed(row: Parsed) -> Conversation:
    """Return the row with long texts truncated. A document is one turn without a role."""
    if isinstance(row, Document):
        return Conversation(messages=[Turn(role="", content=row.text[:PREVIEWED_CHARACTERS])])
    return Conversation(
        messages=[
            Turn(
                role=turn.role,
                content=turn.content[:PREVIEWED_CHARACTERS],
                reasoning_content=(turn.reasoning_content or "")[:PREVIEWED_CHARACTERS] or None,
                tool_calls=[
                    f"{call.name}({json.dumps(call.arguments, ensure_ascii=False)})"[
                        :PREVIEWED_CHARACTERS
                    ]
                    for call in turn.tool_calls
                ]
                or None,
                trained=turn.trained if turn.is_answer else None,
            )
            for turn in row.turns
        ]
    )
