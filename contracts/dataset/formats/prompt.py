"""Prompt and completion: `{"prompt": …, "completion": …}`, each a string or a list of messages."""

from typing import Any

from contracts.dataset.conversation import Conversation, Message
from contracts.dataset.tools import read_tools
from contracts.dataset.turns import read_turns
from contracts.dataset.values import read_text, require

REQUIRED = ("prompt", "completion")
OPTIONAL = ("tools", "functions")
EITHER = "string_or_messages"


def read(row: dict[Any, Any]) -> Conversation:
    """Return a prompt and its completion as a conversation."""
    turns = read_prompt(require(row, "prompt"), "prompt")
    completion = require(row, "completion")
    if isinstance(completion, list):
        turns += read_turns(completion, "completion", may_be_empty=True)
    else:
        turns.append(Message("assistant", read_text(completion, "completion", EITHER)))
    return Conversation("prompt", turns, read_tools(row))


def read_prompt(value: Any, place: str) -> list[Message]:
    """Return the turns of a prompt."""
    if isinstance(value, list):
        return read_turns(value, place, may_be_empty=True)
    return [Message("user", read_text(value, place, EITHER))]
