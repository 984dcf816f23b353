"""Rows that rate answers: preference pairs, and KTO labels. Only the good answers can be trained on.

- OpenAI: `{"input": {"messages": […], "tools": […]}, "preferred_output": […], "non_preferred_output": […]}`
- `{"prompt": …, "chosen": …, "rejected": …}`; `prompt` may be replaced by `conversations`, `messages`, or `instruction`
  and `input`; `chosen` is a string, a turn, a list of turns, or the whole conversation (also as a transcript)
- an ordinary row with an additional, worse answer in `rejected`, `rejected_response`, `rejected_messages` or
  `non_preferred_output`
- KTO: an ordinary row with `label` (or `kto_tag`), true if the answer is good
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from contracts.dataset.conversation import SYSTEM_ROLES, Conversation, Message, begin_with
from contracts.dataset.formats import alpaca, prompt
from contracts.dataset.formats.transcript import is_transcript, read_transcript
from contracts.dataset.tools import read_tools
from contracts.dataset.turns import read_turns
from contracts.dataset.values import read_text, require, wrong_type

REJECTED = ("rejected", "rejected_response", "rejected_messages", "non_preferred_output")
"""Columns that contain an answer not to train on."""
CHOSEN = ("chosen", "preferred_output")
LABELS = ("label", "kto_tag")
"""Columns that rate the answer if their value is true or false."""
REQUIRED = ("chosen", "rejected")
OPTIONAL = (
    "prompt",
    "conversations",
    "messages",
    "instruction",
    "input",
    "system",
    "history",
    "preferred_output",
    "non_preferred_output",
    "tools",
    "functions",
)
_EMPTY: tuple[Any, ...] = (None, "", [], {})

ReadOrdinary = Callable[[dict[Any, Any]], Conversation]


def has_rejected(row: Mapping[Any, Any]) -> bool:
    """Return whether a row has a worse answer. In a table merged from several sources, the column may be empty."""
    return not row.keys().isdisjoint(REJECTED) and any(
        row.get(column) not in _EMPTY for column in REJECTED
    )


def has_chosen(row: Mapping[Any, Any]) -> bool:
    """Return whether a row has its better answer in a separate column."""
    return not row.keys().isdisjoint(CHOSEN) and any(
        row.get(column) not in _EMPTY for column in CHOSEN
    )


def has_label(row: Mapping[Any, Any]) -> bool:
    """Return whether a row rates its answer. A label that is text or a number is a class, not a rating."""
    return not row.keys().isdisjoint(LABELS) and any(
        isinstance(row.get(column), bool) for column in LABELS
    )


def read_pair(row: dict[Any, Any], read_ordinary: ReadOrdinary) -> Conversation:
    """Return the conversation with the better answer. The turns before this answer are not trained on."""
    if not has_chosen(row) and not _has_empty_chosen(row):
        found = read_ordinary({key: row[key] for key in row if key not in REJECTED})
        return replace(found.with_only_the_last_answer_trained(), form="preference")
    if "preferred_output" in row:
        turns, tools = _read_openai_input(require(row, "input"))
        column = "preferred_output"
    else:
        turns, tools, column = _read_context(row), read_tools(row), "chosen"
    value = row[column]
    if isinstance(value, str) and not turns and is_transcript(value):
        chosen = read_transcript(value, column)
    elif isinstance(value, str):
        chosen = [Message("assistant", read_text(value, column))]
    elif not isinstance(value, list | dict):
        raise wrong_type(value, column, prompt.EITHER)
    else:
        chosen = read_turns([value] if isinstance(value, dict) else value, column)
    if chosen[0].role == "assistant":
        answered = Conversation("preference", turns).untrained().turns + chosen
        return Conversation("preference", answered, tools)
    # The chosen turns include the question; only the system prompt may be in another column.
    system = [turn for turn in turns[:1] if turn.role in SYSTEM_ROLES]
    return Conversation(
        "preference", begin_with(system, chosen), tools
    ).with_only_the_last_answer_trained()


def read_labelled(row: dict[Any, Any], read_ordinary: ReadOrdinary) -> Conversation:
    """Return a row with a KTO label. If the label is false, no part of the row is trained on."""
    found = replace(read_ordinary(row).with_only_the_last_answer_trained(), form="kto")
    is_good = all(row[column] for column in LABELS if isinstance(row.get(column), bool))
    return found if is_good else found.untrained()


def _has_empty_chosen(row: Mapping[Any, Any]) -> bool:
    """Return whether the better answer to a prompt is empty; with a completion, the column belongs to rows from another source."""
    has_prompt = row.get("prompt") not in _EMPTY and row.get("completion") is None
    return row.get("chosen") == "" and has_prompt


def _read_openai_input(value: Any) -> tuple[list[Message], list[Any]]:
    if isinstance(value, list):
        return read_turns(value, "input"), []
    if not isinstance(value, dict):
        raise wrong_type(value, "input", "openai_input")
    return read_turns(require(value, "messages", "input.messages"), "input.messages"), read_tools(
        value
    )


def _read_context(row: dict[Any, Any]) -> list[Message]:
    """Return the turns before the chosen answer. Without a column for them, `chosen` is the whole conversation."""
    for column in ("conversations", "messages"):
        if row.get(column) not in _EMPTY:
            system = alpaca.read_context({"system": row.get("system")})
            return begin_with(system, read_turns(row[column], column))
    if row.get("prompt") not in _EMPTY:
        return [
            *alpaca.read_context({"system": row.get("system")}),
            *prompt.read_prompt(row["prompt"], "prompt"),
        ]
    if row.get("instruction") is not None:
        return [*alpaca.read_context(row), Message("user", alpaca.read_question(row))]
    if isinstance(row["chosen"], list) or is_transcript(row["chosen"]):
        return []
    return prompt.read_prompt(require(row, "prompt"), "prompt")
