"""Tools and tool calls in the forms of several sources."""

import json

import pytest

from contracts.dataset.conversation import Conversation, Message, ToolCall
from contracts.dataset.row_error import RowError
from tests.contracts.dataset.sample_rows import (
    ANSWER,
    ASK,
    CALL,
    SHAREGPT,
    TOOL,
    WEATHER,
    parse,
)


def test_a_tool_conversation_in_openais_format_is_parsed_into_turns() -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "北京"}'},
    }
    row = {
        "messages": [
            {"role": "developer", "content": "Be brief."},
            ASK | {"name": "lin"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "晴"},
            ANSWER | {"reasoning_content": "It is sunny."},
        ],
        "tools": [TOOL],
        "parallel_tool_calls": False,
    }

    assert parse(row) == Conversation(
        "messages",
        [
            Message("developer", "Be brief."),
            Message("user", "北京天气？", name="lin"),
            Message(
                "assistant", "", tool_calls=(ToolCall("get_weather", {"city": "北京"}, "call_1"),)
            ),
            Message("tool", "晴", tool_call_id="call_1"),
            Message("assistant", "晴。", reasoning_content="It is sunny."),
        ],
        [TOOL],
    )


@pytest.mark.parametrize(
    "tools",
    [json.dumps([WEATHER]), [WEATHER], [TOOL], json.dumps([TOOL]), WEATHER, [json.dumps(TOOL)]],
)
def test_a_sharegpt_row_with_tools_equals_the_chat_with_tool_calls(tools: object) -> None:
    row = {"conversations": SHAREGPT, "system": "Be brief.", "tools": tools}

    assert parse(row) == Conversation(
        "sharegpt",
        [
            Message("system", "Be brief."),
            Message("user", "北京天气？"),
            Message("assistant", "", tool_calls=(CALL,)),
            Message("tool", '{"sky": "clear"}'),
            Message("assistant", "晴。"),
        ],
        [TOOL],
    )


def test_an_unpaired_surrogate_that_is_escaped_in_a_tool_is_rejected() -> None:
    tool = json.dumps(WEATHER | {"description": "\ud800"})

    with pytest.raises(RowError, match="unpaired surrogate"):
        parse({"conversations": SHAREGPT, "tools": [tool]})


@pytest.mark.parametrize("nothing", [None, "", "  ", [], "[]", "null"])
def test_a_row_without_tools_may_have_a_tools_column(nothing: object) -> None:
    row = {"conversations": SHAREGPT[:1] + SHAREGPT[3:], "tools": nothing, "system": nothing or ""}
    row["system"] = None

    assert parse(row).tools == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"sky": "晴"}, '{"sky": "晴"}'),
        ([{"sky": "晴"}], '[{"sky": "晴"}]'),
        ([{"type": "text", "text": "晴"}], "晴"),
    ],
)
def test_an_object_that_a_tool_returns_becomes_json(content: object, expected: str) -> None:
    row = {"messages": [ASK, {"role": "tool", "content": content}, ANSWER]}

    assert parse(row).turns[1].content == expected


def test_tool_calls_in_separate_turns_are_added_to_the_preceding_assistant_turn() -> None:
    says = {"role": "assistant", "content": "I look."}
    call = {
        "role": "tool_call",
        "content": '{"name": "get_weather", "arguments": "{\\"city\\": \\"北京\\"}"}',
    }

    assert parse({"messages": [ASK, says, call, call]}).turns[1:] == [
        Message("assistant", "I look.", tool_calls=(CALL, CALL))
    ]
    both = {
        "from": "function_call",
        "value": json.dumps([{"name": "get_weather", "arguments": {"city": "北京"}}] * 2),
    }
    assert parse({"conversations": [SHAREGPT[0], both]}).turns[1].tool_calls == (CALL, CALL)


def test_openais_older_function_calls_are_parsed_as_tool_calls() -> None:
    row = {
        "messages": [
            ASK,
            {
                "role": "assistant",
                "content": None,
                "function_call": {"name": "get_weather", "arguments": '{"city": "北京"}'},
            },
            {"role": "function", "name": "get_weather", "content": "晴"},
        ],
        "functions": [WEATHER],
    }

    found = parse(row)

    assert (found.turns[1].tool_calls, found.tools) == ((CALL,), [TOOL])
    assert found.turns[2] == Message("tool", "晴", name="get_weather")
