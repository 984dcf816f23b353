"""Reads a list of turns with OpenAI's keys (`role`, `content`) or ShareGPT's (`from`, `value`)."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from contracts.dataset.conversation import Message, Role
from contracts.dataset.row_error import RowProblem, kind_of
from contracts.dataset.tools import read_call_text, read_tool_calls
from contracts.dataset.values import (
    BadValue,
    check_unicode,
    read_json,
    read_optional,
    read_text,
    wrong_type,
)

ROLE_NAMES: Mapping[str, Role | Literal["call"]] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "ipython": "tool",
    "function_call": "call",
    "tool_call": "call",
    "tool_calls": "call",
}
"""Roles by their names in lower case. `call` is an assistant turn whose content is a tool call in JSON."""
_WEIGHTS = ("weight", "loss_weight")
_SWITCHES = ("train", "training")
"""Boolean alternatives to a weight, which a table may store as 0 and 1. `loss` is another one, unless it is a number, which
is a measurement."""


def find_role(name: Any) -> Role | Literal["call"] | None:
    """Return the role with a name, regardless of case; None if there is none."""
    if not isinstance(name, str):
        return None
    return ROLE_NAMES.get(name) or ROLE_NAMES.get(name.strip().lower())


def read_turns(value: Any, place: str, *, may_be_empty: bool = False) -> list[Message]:
    """Return the turns of a list, which may be JSON text as in a CSV file.

    Consecutive tool calls, and the answer before them, are merged into one assistant turn.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = read_json(value, place, "messages")
    if not isinstance(value, list):
        raise wrong_type(value, place, "messages")
    if not value and not may_be_empty:
        raise BadValue(RowProblem.EMPTY, place=place)
    turns: list[Message] = []
    for number, item in enumerate(value):
        if isinstance(item, dict) and "human" in item and "assistant" in item:
            turns += _read_exchange(item, f"{place}[{number}]")
            continue
        turn, is_call = _read_turn(item, f"{place}[{number}]")
        before = turns[-1] if turns else None
        if (
            is_call
            and before is not None
            and before.role == "assistant"
            and before.trained == turn.trained
        ):
            turns[-1] = before._replace(tool_calls=before.tool_calls + turn.tool_calls)
        else:
            turns.append(turn)
    return turns


def _read_exchange(item: dict[Any, Any], place: str) -> list[Message]:
    """Return the question and the answer of `{"human": …, "assistant": …}`."""
    return [
        Message("user", read_text(item["human"], f"{place}.human")),
        Message(
            "assistant",
            read_text(item["assistant"], f"{place}.assistant"),
            trained=_is_trained(item, place),
        ),
    ]


def _read_turn(turn: Any, place: str) -> tuple[Message, bool]:
    """Return a turn, and whether its role implies that it only calls tools."""
    if not isinstance(turn, dict):
        raise wrong_type(turn, place, "message")
    role = _read_role(turn, place)
    key = "value" if "value" in turn and "content" not in turn else "content"
    if key not in turn and "from" in turn:
        key = "value"
    inner = f"{place}.{key}"
    if role in ("system", "developer", "user"):
        return Message(role, _read_content(turn, key, inner), name=_name(turn, place)), False
    if role == "tool":
        return Message(
            role,
            _read_result(turn, key, inner),
            name=_name(turn, place),
            tool_call_id=read_optional(turn.get("tool_call_id"), f"{place}.tool_call_id"),
        ), False
    trained = _is_trained(turn, place)
    if role == "call":
        calls = read_call_text(_read_content(turn, key, inner), inner)
        return Message("assistant", "", trained=trained, tool_calls=calls), True
    calls = read_tool_calls(turn, place)
    content = "" if calls and turn.get(key) is None else _read_content(turn, key, inner)
    reasoning = turn.get("reasoning_content")
    return Message(
        "assistant",
        content,
        trained=trained,
        tool_calls=calls,
        reasoning_content=read_optional(reasoning, f"{place}.reasoning_content") or None,
        name=_name(turn, place),
    ), False


def _read_role(turn: dict[Any, Any], place: str) -> Role | Literal["call"]:
    key = "from" if "from" in turn and "role" not in turn else "role"
    if key not in turn:
        raise BadValue(RowProblem.MISSING, place=f"{place}.{key}")
    given = turn[key]
    role = find_role(given)
    if role is None:
        found = repr(given[:40]) if isinstance(given, str) else kind_of(given)
        raise BadValue(RowProblem.UNKNOWN_ROLE, place=f"{place}.{key}", found=found)
    return role


def _read_content(turn: dict[Any, Any], key: str, place: str) -> str:
    if key not in turn:
        raise BadValue(RowProblem.MISSING, place=place)
    content = turn[key]
    if not isinstance(content, list):
        return read_text(content, place)
    parts = [_read_part(part, f"{place}[{number}]") for number, part in enumerate(content)]
    return read_text("".join(parts), place)


def _read_result(turn: dict[Any, Any], key: str, place: str) -> str:
    """Return what a tool has returned. An object, or a list of objects that are not parts, becomes JSON."""
    value = turn.get(key)
    are_objects = isinstance(value, list) and any(
        isinstance(each, dict) and "type" not in each and "text" not in each for each in value
    )
    if isinstance(value, dict) or are_objects:
        return read_text(json.dumps(value, ensure_ascii=False), place)
    return _read_content(turn, key, place)


def _read_part(part: Any, place: str) -> str:
    if isinstance(part, str):
        return read_text(part, place)
    if not isinstance(part, dict):
        raise wrong_type(part, place, "part")
    kind = part.get("type", "text")
    if kind != "text":
        shown = kind[:40] if isinstance(kind, str) else kind_of(kind)
        shown = shown.encode(errors="backslashreplace").decode()
        raise BadValue(RowProblem.NOT_TEXT, place=place, kind=shown)
    key = "value" if part.get("text") is None and "value" in part else "text"
    if key not in part:
        raise BadValue(RowProblem.MISSING, place=f"{place}.{key}")
    return read_text(part[key], f"{place}.{key}")


def _is_trained(turn: dict[Any, Any], place: str) -> bool:
    """Return whether to train on an assistant turn. A single negative mark is enough to exclude it."""
    trained = True
    for key in _WEIGHTS:
        weight = turn.get(key)
        if weight is None:
            continue
        if weight not in (0, 1) or not isinstance(weight, int | float):
            found = str(weight) if isinstance(weight, int | float) else kind_of(weight)
            raise BadValue(RowProblem.TURN_WEIGHT, place=f"{place}.{key}", found=found[:40])
        trained = trained and bool(weight)
    is_off = turn.get("loss") is False or any(turn.get(key) == 0 for key in _SWITCHES)
    return trained and not is_off


def _name(turn: dict[Any, Any], place: str) -> str | None:
    name = turn.get("name")
    if not isinstance(name, str) or not name:
        return None
    check_unicode(name, f"{place}.name")
    return name
