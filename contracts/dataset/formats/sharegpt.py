"""ShareGPT: `{"conversations": [{"from": …, "value": …}, …]}`, with optional `system` and `tools`."""

from typing import Any

from contracts.dataset.conversation import Conversation, Message, begin_with
from contracts.dataset.tools import read_tools
from contracts.dataset.turns import read_turns
from contracts.dataset.values import read_optional, require

REQUIRED = ("conversations",)
OPTIONAL = ("system", "tools", "functions")


def read(row: dict[Any, Any]) -> Conversation:
    """Return a ShareGPT row as a conversation. A system turn in the list takes precedence over the column."""
    turns = read_turns(require(row, "conversations"), "conversations")
    system = read_optional(row.get("system"), "system")
    lead = [Message("system", system)] if system else []
    return Conversation("sharegpt", begin_with(lead, turns), read_tools(row))
