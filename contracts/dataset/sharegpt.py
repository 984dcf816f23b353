"""ShareGPT: `{"conversations": [{"from": …, "value": …}, …]}`, with optional `system` and `tools`."""

from typing import Any

from contracts.dataset.conversation import Conversation, Message
from contracts.dataset.tools import read_tools
from contracts.dataset.turns import read_turns
from contracts.dataset.values import read_optional, require

REQUIRED = ("conversations",)
OPTIONAL = ("system", "tools", "functions")


def read(row: dict[Any, Any]) -> Conversation:
    """Return a ShareGPT row as a conversation. A system turn in the list takes precedence over the column."""
    turns = read_turns(require(row, "conversations"), "conversations")
    system = read_optional(row.get("system"), "system")
    if system and turns[0].role not in ("system", "developer"):
        turns = [Message("system", system), *turns]
    return Conversation("sharegpt", turns, read_tools(row))
