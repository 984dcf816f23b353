"""Alpaca: `{"instruction": …, "input": …, "output": …}`, with optional `system` and `history` ([[user, assistant], …])."""

from typing import Any

from contracts.dataset.conversation import Conversation, Message
from contracts.dataset.row_error import RowProblem
from contracts.dataset.values import (
    BadValue,
    read_optional,
    read_text,
    require,
    wrong_type,
)

REQUIRED = ("instruction", "output")
OPTIONAL = ("input", "system", "history")


def read(row: dict[Any, Any]) -> Conversation:
    """Return an Alpaca row as a conversation."""
    question = read_question(row)
    answer = read_text(require(row, "output"), "output")
    return Conversation(
        "alpaca", [*read_context(row), Message("user", question), Message("assistant", answer)]
    )


def read_question(row: dict[Any, Any]) -> str:
    """Return the instruction, with the input on a new line if there is one."""
    instruction = read_text(require(row, "instruction"), "instruction")
    addition = read_optional(row.get("input"), "input")
    return f"{instruction}\n{addition}" if addition else instruction


def read_context(row: dict[Any, Any]) -> list[Message]:
    """Return the turns before the question."""
    system = read_optional(row.get("system"), "system")
    turns = [Message("system", system)] if system else []
    history = row.get("history")
    if history is None:
        return turns
    if not isinstance(history, list):
        raise wrong_type(history, "history", "pairs")
    for number, pair in enumerate(history):
        place = f"history[{number}]"
        if not isinstance(pair, list):
            raise wrong_type(pair, place, "list")
        if len(pair) != 2:
            raise BadValue(RowProblem.NO_PAIR, place=place)
        turns += [
            Message("user", read_text(pair[0], f"{place}[0]")),
            Message("assistant", read_text(pair[1], f"{place}[1]")),
        ]
    return turns
