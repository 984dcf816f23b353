"""Chat messages: `{"messages": [{"role": …, "content": …}, …]}`, with optional `tools`; OpenAI's format."""

from typing import Any

from contracts.dataset.conversation import Conversation
from contracts.dataset.tools import read_tools
from contracts.dataset.turns import read_turns
from contracts.dataset.values import require

REQUIRED = ("messages",)
OPTIONAL = ("tools", "functions")


def read(row: dict[Any, Any]) -> Conversation:
    """Return a chat as a conversation."""
    return Conversation(
        "messages", read_turns(require(row, "messages"), "messages"), read_tools(row)
    )
