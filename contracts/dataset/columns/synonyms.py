"""Other names that public datasets use for the columns of a format, such as Dolly's `context` and `response`.

They count only if the row has no complete format and a single set of these names fits.
"""

from collections.abc import Mapping
from typing import Any

from contracts.dataset.formats.preference import LABELS, REJECTED, has_chosen

_MARKERS = frozenset({"response", "answer", "conversation"})
"""Each set requires one of these columns. Looking for them first is fast."""
_REQUIRED: tuple[Mapping[str, str], ...] = (
    {"instruction": "instruction", "response": "output"},  # Dolly
    {"question": "instruction", "response": "output"},  # OpenOrca
    {"query": "instruction", "response": "output"},  # ms-swift
    {"question": "instruction", "answer": "output"},
    {"conversation": "conversations"},
)
"""The names that the formats use, by the names in the file. The row must have all columns of a set."""
_MEANINGFUL = ("prompt", "input", "passage", "choices", "options")
"""With one of these columns, an answer depends on more than the instruction; how to join them is for the user to say."""
_READ = frozenset({"system", "system_prompt", "history", *REJECTED})
_DESCRIPTIVE = frozenset(
    "id _id idx index uid uuid question_id __index_level_0__ source data_source dataset split url "  # noqa: SIM905
    "link title license author model category subcategory subject topic domain task type tags level "
    "difficulty language lang date created_at timestamp score metadata meta".split()
)
"""Columns that describe a row. An answer to a question may depend on any other column, such as the choices of a test."""
_CONTEXTS = ("prompt", "instruction", "conversations", "messages", "input")
"""Columns with the question of a preference pair."""
_EMPTY: tuple[Any, ...] = (None, "", [], {})


def find_names(row: Mapping[Any, Any]) -> dict[str, str]:
    """Return the names in the file by the names that the row's format uses; empty if the row needs none or it is unclear which."""
    if _MARKERS.isdisjoint(row) or _is_complete(row):
        return {}
    fitting = [names for names in _REQUIRED if all(_is_usable(row, name) for name in names)]
    if len(fitting) != 1:
        return {}
    found = {to: name for name, to in fitting[0].items()}
    if "output" in found:
        if row.get("system_prompt") not in _EMPTY:
            found["system"] = "system_prompt"
        is_safe = (
            _add_context(row, found) if "instruction" in fitting[0] else _is_all_known(row, found)
        )
        if not is_safe:
            return {}
    overwrites = any(to != name and row.get(to) not in _EMPTY for to, name in found.items())
    return {} if overwrites else found


def _is_usable(row: Mapping[Any, Any], name: str) -> bool:
    value = row.get(name)
    if name == "conversation" and isinstance(value, str):
        return value.lstrip().startswith("[")  # otherwise it is an id or a plain text
    return value is not None


def _add_context(row: Mapping[Any, Any], found: dict[str, str]) -> bool:
    """Add Dolly's context; return whether no other column is part of the question."""
    if row.get("context") in _EMPTY:
        return all(row.get(name) in _EMPTY for name in _MEANINGFUL if name != "input")
    found["input"] = "context"
    return all(row.get(name) in _EMPTY for name in _MEANINGFUL)


def _is_all_known(row: Mapping[Any, Any], found: Mapping[str, str]) -> bool:
    """Return whether every column that is not empty is read or only describes the row."""
    used = set(found.values())
    return all(
        value in _EMPTY
        or name in used
        or name in _READ
        or str(name).lower() in _DESCRIPTIVE
        or (name in LABELS and isinstance(value, bool))
        for name, value in row.items()
    )


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
    return (
        any(row.get(name) is not None for name in ("messages", "conversations", "text"))
        or any(row.get(one) is not None and row.get(other) is not None for one, other in pairs)
        or (has_chosen(row) and any(row.get(name) not in _EMPTY for name in _CONTEXTS))
    )
