"""Finds the field of a row that contains a text, for the few places that a finding shows."""

from collections.abc import Iterator
from typing import Any

from contracts.dataset.conversation import Role
from contracts.dataset.turns import find_role
from contracts.values.nesting import loads

_COLUMNS: dict[str, Role] = {
    "system": "system",
    "system_prompt": "system",
    "instruction": "user",
    "input": "user",
    "prompt": "user",
    "query": "user",
    "question": "user",
    "context": "user",
    "human": "user",
    "output": "assistant",
    "completion": "assistant",
    "response": "assistant",
    "answer": "assistant",
    "assistant": "assistant",
    "chosen": "assistant",
    "text": "assistant",
}
"""The roles of columns that contain plain text."""


def find_field(row: Any, role: str, fragment: str) -> str | None:
    """Return the path of the first field that contains the fragment, preferring fields with this role; None if there is none.

    An empty fragment matches a field without text.
    """
    other = None
    for path, owner, text in _texts(row, "", None):
        if fragment not in text if fragment else text.strip():
            continue
        if owner == role:
            return path
        other = other or path
    return other


def _texts(value: Any, path: str, role: str | None) -> Iterator[tuple[str, str | None, str]]:
    """Yield the path, role and content of each string."""
    if isinstance(value, str):
        # Only a column contains turns as JSON. Deeper levels are not searched, because their nesting is unbounded.
        inner = None if "." in path or "[" in path else _load(value)
        if inner is None:
            yield path, role, value
        else:
            yield from _texts(inner, path, role)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            # Alpaca's history consists of pairs [user, assistant].
            spoken = ("user", "assistant")[number % 2] if path.startswith("history[") else role
            yield from _texts(item, f"{path}[{number}]", spoken)
    elif isinstance(value, dict):
        known = find_role(value.get("role", value.get("from")))
        spoken = "assistant" if known == "call" else known or role
        for key, item in value.items():
            column = _COLUMNS.get(key) if not path or key in ("human", "assistant") else role
            yield from _texts(item, f"{path}.{key}" if path else key, spoken or column)


def _load(text: str) -> Any:
    """Return the turns that a CSV cell contains as JSON, or None."""
    if not text.startswith(("[{", '{"')):
        return None
    try:
        return loads(text)
    except ValueError:
        return None
