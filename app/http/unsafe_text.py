"""Rejects text that is unsafe to show, in the body of a request."""

from collections.abc import Iterator

from pydantic import BaseModel

from app.errors.kinds import UnsafeCharacter
from contracts.values.text import UNSAFE, find_unsafe


def reject_unsafe(body: BaseModel) -> None:
    """Raise UnsafeCharacter if any text in the body contains a character that is unsafe to show."""
    for field, text in _texts("", body.model_dump(mode="json")):
        character = find_unsafe(text)
        if character is not None:
            raise UnsafeCharacter(field, field=field, character=character)


def _texts(path: str, value: object) -> Iterator[tuple[str, str]]:
    """Yield the dotted path and content of each string in plain data, including keys."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            inner_path = ".".join(filter(None, (path, UNSAFE.sub("", key))))
            yield inner_path, key
            yield from _texts(inner_path, inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _texts(f"{path}[{number}]", inner)
