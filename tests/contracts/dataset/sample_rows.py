"""Rows, and what they are parsed into, for the tests of this folder."""

from typing import Any

from contracts.dataset.conversation import Conversation, ToolCall
from contracts.dataset.rows import parse_row

WEATHER = {
    "name": "get_weather",
    "description": "Current weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
TOOL = {"type": "function", "function": WEATHER}
CALL = ToolCall("get_weather", {"city": "北京"})
ASK = {"role": "user", "content": "北京天气？"}
ANSWER = {"role": "assistant", "content": "晴。"}


def parse(row: dict[str, Any]) -> Conversation:
    found = parse_row(row, 1)
    assert isinstance(found, Conversation)
    return found


def marks(row: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """Return each turn's role, its content and whether it is trained. Only assistant turns can be."""
    return [
        (turn.role, turn.content, turn.trained and turn.role == "assistant")
        for turn in parse(row).turns
    ]


SHAREGPT = [
    {"from": "human", "value": "北京天气？"},
    {"from": "function_call", "value": '{"name": "get_weather", "arguments": {"city": "北京"}}'},
    {"from": "observation", "value": '{"sky": "clear"}'},
    {"from": "gpt", "value": "晴。"},
]
