"""Other names that public datasets use for the columns of a format, such as Dolly's `context` and `response`.

They count only if the row has no complete format and a single set of these names fits.
"""

from collections.abc import Mapping
from typing import Any

_MARKERS = frozenset({"response", "answer", "conversation"})
"""Each set requires one of these columns. Looking for them first is fast."""
_REQUIRED: tuple[Mapping[str, str], ...] = (
    {"instruction": "instruction", "response": "output"},  # Dolly
    {"question": "instruction", "response": "output"},  # OpenOrca
    {"query": "prompt", "response": "completion"},
    {"question": "prompt", "answer": "completion"},
    {"conversation": "conversations"},
)
"""The names that the formats use, by the names in the file. The row must have all columns of a set."""
_OPTIONAL = {"context": "input", "system_prompt": "system"}
"""Columns of an instruction."""
_MEANINGFUL = ("context", "input", "passage", "choices", "options")
"""With one of these columns, an answer depends on more than the question; how to join them is for the user to say."""
_EMPTY: tuple[Any, ...] = (None, "", [], {})


def find_names(row: Mapping[Any, Any]) -> dict[str, str]:
    """Return the names in the file by the names that the row's format uses; empty if the row needs none or it is unclear which."""
    if _MARKERS.isdisjoint(row) or _is_complete(row):
        return {}
    fitting = [names for names in _REQUIRED if all(row.get(name) is not None for name in names)]
    if len(fitting) != 1:
        return {}
    found = {to: name for name, to in fitting[0].items()}
    if "conversations" in found:
        return found
    meaningful = {name for name in _MEANINGFUL if row.get(name) not in _EMPTY}
    if "instruction" in found:
        found |= {to: name for name, to in _OPTIONAL.items() if row.get(name) not in _EMPTY}
        meaningful.discard("input" if "input" in meaningful else "context")
    return {} if meaningful else found


def rename(row: Mapping[Any, Any], names: Mapping[str, str]) -> dict[Any, Any]:
    """Return the row with the names that its format uses."""
    return {**row, **{to: row[name] for to, name in names.items()}}


def place_in_file(place: str | int, names: Mapping[str, str]) -> str:
    """Return the place of a value, such as `conversations[0].value`, with the column's name in the file."""
    column = str(place).partition("[")[0].partition(".")[0]
    return names.get(column, column) + str(place)[len(column) :]


def _is_complete(row: Mapping[Any, Any]) -> bool:
    """Return whether the row has all columns of a format under their own names."""
    pairs = (("instruction", "output"), ("prompt", "completion"))
    return any(row.get(name) is not None for name in ("messages", "conversations", "text")) or any(
        row.get(one) is not None and row.get(other) is not None for one, other in pairs
    )
