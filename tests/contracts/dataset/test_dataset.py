from typing import Any

import pytest

from contracts.dataset.conversation import Conversation, Message
from contracts.dataset.row_error import RowError, RowProblem
from contracts.dataset.rows import parse_json, parse_row, read_jsonl
from contracts.values.nesting import MAX_DEPTH


def parse(row: dict[str, Any]) -> Conversation:
    found = parse_row(row, 1)
    assert isinstance(found, Conversation)
    return found


def turns(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in parse(row).turns]


def test_an_alpaca_row_joins_its_instruction_and_input() -> None:
    row = {"instruction": "Translate.", "input": "猫", "output": "cat", "id": 7}

    assert turns(row) == [("user", "Translate.\n猫"), ("assistant", "cat")]


def test_an_alpaca_row_may_have_a_system_message_and_history() -> None:
    row = {
        "instruction": "And 3?",
        "input": "",
        "output": "9",
        "system": "Square numbers.",
        "history": [["2?", "4"]],
    }

    assert turns(row) == [
        ("system", "Square numbers."),
        ("user", "2?"),
        ("assistant", "4"),
        ("user", "And 3?"),
        ("assistant", "9"),
    ]


def test_prompt_and_completion_may_be_text_or_messages() -> None:
    expected = [("user", "hi"), ("assistant", "hello")]

    assert turns({"prompt": "hi", "completion": "hello"}) == expected
    assert (
        turns(
            {
                "prompt": [{"role": "user", "content": "hi"}],
                "completion": [{"role": "assistant", "content": "hello"}],
            }
        )
        == expected
    )


def test_a_messages_row_is_used_unchanged() -> None:
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}

    assert parse(row).turns == [
        Message(role="user", content="a"),
        Message(role="assistant", content="b"),
    ]


USER = {"role": "user", "content": "a"}
ANSWER = {"role": "assistant", "content": "b"}
BAD_ROWS: list[tuple[object, str, str]] = [
    ([], "the row is a list; it must be an object", "该行是数组"),
    ("text", "the row is a string", "该行是字符串"),
    (None, "the row is null", "该行是null"),
    ({}, "its keys (none) match no known format", "不符合任何已知格式"),
    ({"ask": "a", "reply": "b"}, "its keys (ask, reply) match", "ask, reply"),
    ({"question": "a", "answer": 3}, "answer is a number; it must be a string", "answer 是"),
    (
        {"question": "a", "answer": "b", "choices": ["b", "c"]},
        "its keys (answer, choices, question) match no known",
        "choices",
    ),
    (
        {"question": "a", "answer": "b", "response": "c"},
        "its keys (answer, question, response) match no known",
        "response",
    ),
    (
        {"instruction": "a", "input": "b", "context": "c", "response": "d"},
        "output is missing",
        "缺少 output",
    ),
    (
        {"conversation": [{"human": "a", "assistant": 1}]},
        "conversation[0].assistant is a number",
        "conversation[0].assistant 是",
    ),
    ({"instruction": "a"}, "output is missing", "缺少 output"),
    ({"instruction": "a", "output": 3}, "output is a number; it must be a string", "应为字符串"),
    ({"instruction": None, "output": "b"}, "instruction is null; it must be a string", "null"),
    (
        {"instruction": "a", "output": "b", "input": []},
        "input is a list; it must be a string or null",
        "或 null",
    ),
    (
        {"instruction": "a", "output": "x" * 2_000_001},
        "output has more than 2000000 characters",
        "超过 2000000",
    ),
    (
        {"instruction": "\ud800", "output": "b"},
        "instruction contains an unpaired surrogate",
        "代理字符",
    ),
    (
        {"instruction": "a", "output": "b", "history": [["c"]]},
        "history[0] must be a pair",
        "二元组",
    ),
    (
        {"instruction": "a", "output": "b", "history": [["c", "d", "e"]]},
        "history[0] must be a pair",
        "二元组",
    ),
    (
        {"instruction": "a", "output": "b", "history": ["c"]},
        "history[0] is a string; it must be a list",
        "数组",
    ),
    (
        {"instruction": "a", "output": "b", "history": [["c", 1]]},
        "history[0][1] is a number",
        "数字",
    ),
    (
        {"instruction": "a", "output": "b", "history": {}},
        "history is an object; it must be a list of pairs",
        "对象",
    ),
    ({"prompt": "a"}, "completion is missing", "缺少 completion"),
    (
        {"prompt": "a", "completion": 5},
        "completion is a number; it must be a string or a list of messages",
        "消息数组",
    ),
    (
        {"prompt": None, "completion": "b"},
        "prompt is null; it must be a string or a list of messages",
        "null",
    ),
    (
        {"prompt": [USER], "completion": [5]},
        "completion[0] is a number; it must be an object {role, content}",
        "对象",
    ),
    (
        {"prompt": [{"role": "user"}], "completion": "b"},
        "prompt[0].content is missing",
        "缺少 prompt[0]",
    ),
    ({"messages": []}, "messages is empty", "messages 为空"),
    ({"messages": "hi"}, "messages is a string; it must be a list of messages", "消息"),
    ({"messages": ["hi"]}, "messages[0] is a string; it must be an object {role, content}", "对象"),
    (
        {"messages": [USER, {"role": "assistant", "content": None}]},
        "messages[1].content is null; it must be a string",
        "null",
    ),
    (
        {"messages": [{"role": "robot", "content": "a"}]},
        "messages[0].role is 'robot'; it must be 'system'",
        "'robot'",
    ),
    ({"messages": [{"role": 3, "content": "a"}]}, "messages[0].role is a number", "数字"),
    ({"messages": [USER]}, "it has no assistant answer", "没有助手的回答"),
    (
        {"messages": [USER, ANSWER | {"weight": 0.5}]},
        "messages[1].weight is 0.5; it must be 0",
        "messages[1].weight 是0.5，应为 0",
    ),
    (
        {"prompt": [USER], "completion": [ANSWER | {"loss_weight": "1"}]},
        "completion[0].loss_weight is a string",
        "字符串",
    ),
    (
        {"messages": [USER | {"content": [{"type": "image_url", "image_url": {}}]}, ANSWER]},
        "messages[0].content[0] is a part of type image_url, but only text",
        "image_url",
    ),
    (
        {"messages": [USER | {"content": [{"type": "text"}]}, ANSWER]},
        "messages[0].content[0].text is missing",
        "缺少",
    ),
    (
        {"messages": [USER | {"content": [1]}, ANSWER]},
        "messages[0].content[0] is a number; it must be a string or an object {type: text",
        "数字",
    ),
    (
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt"}]},
        "conversations[1].value is missing",
        "缺少",
    ),
    ({"conversations": [{"value": "a"}]}, "conversations[0].role is missing", "缺少"),
    (
        {"conversations": [{"from": "someone", "value": "a"}]},
        "conversations[0].from is 'someone'",
        "'someone'",
    ),
    (
        {"conversations": [{"from": "function_call", "value": "add(1)"}]},
        "conversations[0].value is text that is not JSON; it must be a tool call {name",
        "非 JSON 文本",
    ),
    (
        {"conversations": [{"from": "function_call", "value": '{"arguments": {}}'}]},
        "conversations[0].value.name is missing",
        "缺少",
    ),
    (
        {
            "messages": [
                USER,
                {
                    "role": "assistant",
                    "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}],
                },
            ]
        },
        "messages[1].tool_calls[0].function.arguments is a list; it must be an object that contains the arguments",
        "参数对象",
    ),
    (
        {"messages": [USER, {"role": "assistant", "tool_calls": {"name": "f"}}]},
        "messages[1].tool_calls is an object; it must be a list of tool calls",
        "工具调用",
    ),
    ({"messages": [USER, ANSWER], "tools": "[{"}, "tools is text that is not JSON", "非 JSON"),
    (
        {"messages": [USER, ANSWER], "tools": [{"description": "x"}]},
        "tools[0].name is null; it must be a string",
        "null",
    ),
    (
        {"messages": [USER, ANSWER], "tools": [{"name": "\ud800"}]},
        "tools contains an unpaired surrogate",
        "代理字符",
    ),
    ({"text": None}, "text is null; it must be a string", "null"),
    ({"chosen": "b", "rejected": "c"}, "prompt is missing", "缺少 prompt"),
    ({"prompt": "a", "chosen": 1, "rejected": "c"}, "chosen is a number", "数字"),
    (
        {"input": "a", "preferred_output": [ANSWER], "non_preferred_output": [ANSWER]},
        "input is a string; it must be an object {messages}",
        "对象 {messages}",
    ),
]


@pytest.mark.parametrize(("row", "english", "chinese"), BAD_ROWS)
def test_an_invalid_row_is_explained_without_pydantics_wording(
    row: object, english: str, chinese: str
) -> None:
    with pytest.raises(RowError) as caught:
        parse_row(row, 12)

    assert caught.value.line == 12
    assert str(caught.value).startswith("line 12: ")
    assert english in caught.value.sentence()
    assert chinese in caught.value.sentence("zh")
    for leaked in (
        "constrained",
        "Input should",
        "Field required",
        "pydantic",
        "(text)",
        "(turns)",
    ):
        assert leaked not in caught.value.sentence() + caught.value.sentence("zh")


def test_the_examples_of_invalid_rows_cover_every_row_problem() -> None:
    seen = set()
    for row, _, _ in BAD_ROWS:
        with pytest.raises(RowError) as caught:
            parse_row(row, 1)
        seen.add(caught.value.problem)

    assert set(RowProblem) - seen == {
        RowProblem.TOO_MANY_BYTES,
        RowProblem.TOO_DEEP,
        RowProblem.NOT_JSON,
        RowProblem.LONG_NUMBER,
        RowProblem.AFTER_ARRAY,
        RowProblem.NO_COMMA,
        RowProblem.UNENDED_ARRAY,
        RowProblem.LATE_SYSTEM,
        RowProblem.OTHER,
        RowProblem.OTHER_FORM,  # only with a chosen format, as LABEL
        RowProblem.LABEL,
        RowProblem.EMPTY_ANSWER,  # only if every row of a file has it
    }


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "a", "output": "b", "label": "spam"},
        {"instruction": "a", "output": "b", "label": 1},
        {"instruction": "a", "output": "b", "label": None, "rejected": None},
        {"instruction": "a", "output": "b", "rejected": ""},
        {"instruction": "a", "output": "b", "rejected_messages": []},
        {"instruction": "a", "output": "b", "weight": 0.5, "chosen": "b"},
        {"messages": [USER | {"weight": None}, ANSWER | {"weight": None}]},
    ],
)
def test_a_column_that_does_not_rate_an_answer_is_ignored(row: dict[str, Any]) -> None:
    assert turns(row) == [("user", "a"), ("assistant", "b")]


def test_a_conversation_may_start_with_an_assistant_turn() -> None:
    assert turns({"messages": [ANSWER]}) == [("assistant", "b")]


def test_blank_lines_in_jsonl_are_counted_but_skipped() -> None:
    assert list(read_jsonl([b'{"a": 1}\n', b"\n", b"[2]"])) == [(1, {"a": 1}), (3, [2])]


@pytest.mark.parametrize("text", [b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5000, b""])
def test_a_line_that_cannot_be_parsed_is_a_row_error(text: bytes) -> None:
    with pytest.raises(RowError):
        parse_json(text, 4)


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 5_000, 200_000])
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_a_row_nested_too_deeply_is_rejected_on_every_interpreter(
    levels: int, opened: str, closed: str
) -> None:
    for text in (
        opened * (levels - 1) + "1" + closed * (levels - 1),
        opened * levels,
    ):
        row = f'{{"instruction": "a", "output": "b", "unused": {text}}}'
        with pytest.raises(RowError) as caught:
            parse_json(row.encode(), 4)
        assert caught.value.problem is RowProblem.TOO_DEEP
        assert caught.value.sentence() == "it is nested deeper than 100 levels"


def test_a_row_nested_up_to_the_limit_is_parsed() -> None:
    levels = MAX_DEPTH - 1
    row = f'{{"instruction": "[[[{{{{", "output": "b", "unused": {"[" * levels}{"]" * levels}}}'

    assert parse_json(row.encode(), 1)["output"] == "b"
