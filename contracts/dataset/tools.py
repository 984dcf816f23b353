"""Reads the tools of a row and the tool calls of a turn, in the formats of OpenAI and ShareGPT."""

from collections.abc import Mapping
from typing import Any

from contracts.dataset.conversation import ToolCall
from contracts.dataset.row_error import RowProblem
from contracts.dataset.values import (
    BadValue,
    check_strings,
    read_answer,
    read_json,
    read_optional,
    wrong_type,
)

TOOL_COLUMNS = ("tools", "functions")
"""`functions` is the older name; its entries are functions without the wrapper object."""


def read_tools(row: dict[Any, Any]) -> list[Mapping[str, Any]]:
    """Return the tools of a row; an empty list if the column is absent, null or empty. They may be JSON in a string."""
    for column in TOOL_COLUMNS:
        value = row.get(column)
        if value in (None, "", [], {}):
            continue
        if isinstance(value, str) and not value.strip():
            continue
        tools = read_json(value, column, "tools")
        if isinstance(tools, dict):
            tools = [tools]
        if tools is None:
            continue
        if not isinstance(tools, list):
            raise wrong_type(tools, column, "tools")
        if tools:
            check_strings(tools, column)
        return [_read_tool(tool, f"{column}[{number}]") for number, tool in enumerate(tools)]
    return []


def _read_tool(value: Any, place: str) -> Mapping[str, Any]:
    tool = read_json(value, place, "tool")
    check_strings(tool, place)  # again: JSON text may contain an escaped unpaired surrogate
    if not isinstance(tool, dict):
        raise wrong_type(tool, place, "tool")
    function = tool.get("function")
    if isinstance(function, dict):
        read_answer(function.get("name"), f"{place}.function.name")
        return tool if "type" in tool else {"type": "function", **tool}
    read_answer(tool.get("name"), f"{place}.name")
    return {"type": "function", "function": tool}


def read_tool_calls(turn: dict[Any, Any], place: str) -> tuple[ToolCall, ...]:
    """Return the calls of an assistant turn: `tool_calls`, or the older `function_call`."""
    calls = turn.get("tool_calls")
    if calls in (None, "", []):
        older = turn.get("function_call")
        return () if older in (None, "", {}) else (_read_call(older, f"{place}.function_call"),)
    place = f"{place}.tool_calls"
    calls = read_json(calls, place, "tool_calls")
    if calls is None:
        return ()
    if not isinstance(calls, list):
        raise wrong_type(calls, place, "tool_calls")
    return tuple(_read_call(call, f"{place}[{number}]") for number, call in enumerate(calls))


def read_call_text(text: str, place: str) -> tuple[ToolCall, ...]:
    """Return the calls of a `function_call` turn, whose content is JSON: one object or a list."""
    calls = read_json(text, place, "tool_call")
    if isinstance(calls, list) and calls:
        return tuple(_read_call(call, f"{place}[{number}]") for number, call in enumerate(calls))
    return (_read_call(calls, place),)


def _read_call(value: Any, place: str) -> ToolCall:
    call = read_json(value, place, "tool_call")
    if not isinstance(call, dict):
        raise wrong_type(call, place, "tool_call")
    function, inner = call.get("function"), place
    if isinstance(function, dict):
        inner = f"{place}.function"
    else:
        function = call
    if "name" not in function:
        raise BadValue(RowProblem.MISSING, place=f"{inner}.name")
    name = read_answer(function["name"], f"{inner}.name")
    key = "arguments" if "arguments" in function or "parameters" not in function else "parameters"
    arguments = function.get(key)
    if arguments in (None, ""):
        arguments = {}
    arguments = read_json(arguments, f"{inner}.{key}", "arguments")
    if not isinstance(arguments, dict):
        raise wrong_type(arguments, f"{inner}.{key}", "arguments")
    check_strings(arguments, f"{inner}.{key}")
    return ToolCall(name, arguments, read_optional(call.get("id"), f"{place}.id"))
