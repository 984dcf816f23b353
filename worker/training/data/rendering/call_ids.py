"""Ids of tool calls for templates that accept only ids of nine characters, as Mistral's do.

Datasets contain ids of other lengths (OpenAI's have 29 characters) or none (ShareGPT).
"""

from collections import deque
from typing import Any


def with_short_ids(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the turns of a conversation with an id of nine characters for each tool call and its result.

    A result without an id, or with an id that matches no call, belongs to the first call that has no result yet.
    """
    replaced: list[dict[str, Any]] = []
    ids: dict[str, str] = {}
    open_calls: deque[str] = deque()
    count = 0
    for turn in turns:
        if "tool_calls" in turn:
            calls = []
            for call in turn["tool_calls"]:
                short = f"call{count:05d}"
                count += 1
                if call.get("id"):
                    ids[call["id"]] = short
                open_calls.append(short)
                calls.append({"id": short} | {key: call[key] for key in call if key != "id"})
            replaced.append(turn | {"tool_calls": calls})
        elif turn["role"] == "tool":
            first_open = open_calls[0] if open_calls else "call00000"
            short = ids.get(turn.get("tool_call_id", ""), first_open)
            if short in open_calls:
                open_calls.remove(short)
            replaced.append(turn | {"tool_call_id": short})
        else:
            replaced.append(turn)
    return replaced
