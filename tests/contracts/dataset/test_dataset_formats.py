"""Rows in the formats of public datasets, and the conversations that they are parsed into."""

import json
from typing import Any

import pytest

from contracts.dataset.conversation import Conversation, Document, Message, ToolCall
from contracts.dataset.features import FeatureCounter
from contracts.dataset.row_error import RowError
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


SHAREGPT = [
    {"from": "human", "value": "北京天气？"},
    {"from": "function_call", "value": '{"name": "get_weather", "arguments": {"city": "北京"}}'},
    {"from": "observation", "value": '{"sky": "clear"}'},
    {"from": "gpt", "value": "晴。"},
]


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
    ("name", "role"),
    [
        ("human", "user"),
        ("user", "user"),
        ("gpt", "assistant"),
        ("chatgpt", "assistant"),
        ("bot", "assistant"),
        ("model", "assistant"),
        ("Human", "user"),
        ("USER", "user"),
        ("prompter", "user"),
        ("GPT", "assistant"),
        ("Assistant", "assistant"),
        ("ai", "assistant"),
        ("bing", "assistant"),
        ("bard", "assistant"),
        ("observation", "tool"),
        ("tool", "tool"),
        ("function_response", "tool"),
        ("tool_response", "tool"),
        ("developer", "developer"),
    ],
)
def test_the_role_names_of_sharegpt_files_are_recognised(name: str, role: str) -> None:
    answer = {"from": "gpt", "value": "b"}

    assert parse({"conversations": [{"from": name, "value": "a"}, answer]}).turns[0].role == role


HUMAN = [("user", "a", False), ("assistant", "b", True)]
SYSTEM = ("system", "s", False)


@pytest.mark.parametrize(
    ("row", "form", "expected"),
    [
        (
            {"instruction": "a", "context": "c", "response": "b", "category": "qa"},
            "alpaca",
            [("user", "a\nc", False), ("assistant", "b", True)],
        ),
        ({"instruction": "a", "context": "", "response": "b", "output": None}, "alpaca", HUMAN),
        (
            {"id": "1", "system_prompt": "s", "question": "a", "response": "b"},
            "alpaca",
            [("system", "s", False), *HUMAN],
        ),
        ({"query": "a", "response": "b"}, "alpaca", HUMAN),
        ({"question": "a", "answer": "b", "id": 1, "Level": 2, "choices": []}, "alpaca", HUMAN),
        ({"question": "a", "answer": "b", "system_prompt": "s"}, "alpaca", [SYSTEM, *HUMAN]),
        (
            {"system": "s", "query": "a", "response": "b", "history": [["a", "b"]]},
            "alpaca",
            [SYSTEM, ("user", "a", False), ("assistant", "b", True), *HUMAN],
        ),
        (
            {"query": "a", "response": "b", "rejected_response": "c", "history": [["a", "b"]]},
            "preference",
            [("user", "a", False), ("assistant", "b", False), *HUMAN],
        ),
        (
            {"prompt": "a", "question": "x", "answer": "y", "chosen": "b", "rejected": "c"},
            "preference",
            HUMAN,
        ),
        (
            {"instruction": "a", "response": "y", "context": "z", "chosen": "b", "rejected": "c"},
            "preference",
            HUMAN,
        ),
        (
            {"conversation": [ASK, ANSWER], "prompt": "a", "chosen": "b", "rejected": "c"},
            "preference",
            HUMAN,
        ),
        ({"question": "x", "answer": "y", "prompt": "a", "completion": "b"}, "prompt", HUMAN),
        (
            {"conversation": [{"human": "a", "assistant": "b"}] * 2, "conversation_id": 1},
            "sharegpt",
            HUMAN * 2,
        ),
        (
            {"conversation": [ASK | {"content": "a"}, ANSWER | {"content": "b"}]},
            "sharegpt",
            HUMAN,
        ),
        (
            {
                "chosen": "\n\nHuman: a\n\nAssistant: x: \n\n1\n\nHuman: a\n\nAssistant: b",
                "rejected": "\n\nHuman: a\n\nAssistant: c",
            },
            "preference",
            [("user", "a", False), ("assistant", "x: \n\n1", False), *HUMAN],
        ),
        (
            {"prompt": "a", "chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "c"},
            "preference",
            [("user", "a", False), ("assistant", "\n\nHuman: a\n\nAssistant: b", True)],
        ),
    ],
)
def test_rows_of_public_datasets_are_recognised_by_their_own_columns(
    row: dict[str, Any], form: str, expected: list[tuple[str, str, bool]]
) -> None:
    assert (parse(row).form, marks(row)) == (form, expected)


@pytest.mark.parametrize(
    "columns",
    [
        {"question": "a", "A": "1", "B": "2", "answer": "B"},
        {"question": "a", "answer": "b", "passage_text": "c"},
        {"question": "a", "answer": "b", "output": "c"},
        {"question": "a", "answer": "b", "label": 0},
        {"query": "a", "response": "b", "document": "c"},
        {"query": "a", "response": "b", "tools": ["c"]},
        {"question": "a", "response": "b", "context": "c"},
        {"question": "a", "answer": "b", "system": "c", "system_prompt": "d"},
        {"instruction": "a", "prompt": "b", "response": "c"},
        {"conversation": "an id", "response": "b"},
    ],
)
def test_columns_are_not_recognised_if_another_one_may_change_the_meaning(
    columns: dict[str, Any],
) -> None:
    with pytest.raises(RowError, match=r"match no known format|is missing"):
        parse(columns)


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


def test_system_turns_may_stand_anywhere_and_are_counted_as_a_need() -> None:
    counter = FeatureCounter()
    system, developer = ({"role": role, "content": "x"} for role in ("system", "developer"))
    rows = [
        {"messages": [system, developer, ASK, ANSWER]},
        {"messages": [ASK, system, ANSWER]},
        {"messages": [system, ASK, ANSWER]},
    ]

    for row in rows:
        counter.add(parse(row))

    assert [turn.role for turn in parse(rows[1]).turns] == ["user", "system", "assistant"]
    assert counter.features().late_system == 2


def test_a_conversation_may_use_the_keys_of_the_other_format() -> None:
    expected = [("user", "北京天气？", False), ("assistant", "晴。", True)]

    assert marks({"conversations": [ASK, ANSWER]}) == expected
    assert marks({"messages": [SHAREGPT[0], SHAREGPT[3]]}) == expected
    assert marks({"messages": json.dumps([ASK, ANSWER])}) == expected


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


def test_content_may_be_a_list_of_text_parts() -> None:
    parts = [{"type": "text", "text": "北京"}, {"type": "text", "value": "天气"}, "？"]

    assert marks(
        {"messages": [ASK | {"content": parts}, ANSWER | {"content": [{"text": "晴。"}]}]}
    ) == [
        ("user", "北京天气？", False),
        ("assistant", "晴。", True),
    ]


@pytest.mark.parametrize(
    "mark",
    [
        {"weight": 0},
        {"loss_weight": 0.0},
        {"weight": False},
        {"train": False},
        {"train": 0},
        {"training": 0.0},
        {"training": False},
        {"loss": False},
    ],
)
def test_a_turn_marked_as_not_trained_is_context(mark: dict[str, Any]) -> None:
    no_mark = {"weight": None, "loss_weight": 1.0, "train": 1, "loss": 0.0}

    assert marks({"messages": [ASK, ANSWER | mark, ASK, ANSWER | no_mark]}) == [
        ("user", "北京天气？", False),
        ("assistant", "晴。", False),
        ("user", "北京天气？", False),
        ("assistant", "晴。", True),
    ]
    assert not parse({"messages": [ASK, ANSWER | mark]}).is_trained


def test_a_row_of_plain_text_is_a_document_and_may_be_empty() -> None:
    assert parse_row({"text": "从前有座山。", "id": 1, "label": True}, 1) == Document(
        "从前有座山。"
    )
    assert not Document(" \n").is_trained
    assert parse({"text": "x", "instruction": "a", "output": "b"}).form == "alpaca"


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "a", "output": ""},
        {"prompt": "a", "completion": ""},
        {"messages": [ASK, ANSWER | {"content": ""}]},
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": ""}]},
        {"prompt": "a", "completion": "", "label": True},
        {"prompt": "a", "chosen": "", "rejected": "b"},
    ],
)
def test_an_empty_answer_is_trained_on_its_end_of_turn_token(row: dict[str, Any]) -> None:
    found = parse(row)

    assert (found.turns[-1].content, found.is_trained, found.is_answered) == ("", True, False)


BAD = {"role": "assistant", "content": "雨。"}


@pytest.mark.parametrize(
    "row",
    [
        {
            "input": {"messages": [ASK], "tools": []},
            "preferred_output": [ANSWER],
            "non_preferred_output": [BAD],
        },
        {"prompt": "北京天气？", "chosen": "晴。", "rejected": "雨。"},
        {"prompt": [ASK], "chosen": [ANSWER], "rejected": [BAD]},
        {"prompt": "北京天气？", "chosen": [ASK, ANSWER], "rejected": [ASK, BAD], "messages": None},
        {"chosen": [ASK, ANSWER], "rejected": [ASK, BAD], "score_chosen": 8.0},
        {
            "conversations": SHAREGPT[:1],
            "chosen": SHAREGPT[3],
            "rejected": {"from": "gpt", "value": "雨。"},
        },
        {"instruction": "北京天气？", "input": "", "chosen": "晴。", "rejected": "雨。"},
        {"instruction": "北京天气？", "output": "晴。", "rejected": "雨。"},
        {"messages": [ASK, ANSWER], "rejected_response": "雨。"},
        {"messages": [ASK, ANSWER], "rejected_messages": [ASK, BAD]},
    ],
)
def test_a_preference_pair_is_recognised_and_yields_the_chosen_answer(row: dict[str, Any]) -> None:
    assert parse(row).form == "preference"
    assert marks(row) == [("user", "北京天气？", False), ("assistant", "晴。", True)]


def test_only_the_chosen_answer_of_a_preference_pair_is_trained() -> None:
    first = [("user", "北京天气？", False), ("assistant", "晴。", False)]
    for row in (
        {"prompt": [ASK, ANSWER, ASK], "chosen": [ANSWER], "rejected": [BAD]},
        {"chosen": [ASK, ANSWER, ASK, ANSWER], "rejected": [ASK, ANSWER, ASK, BAD]},
        {"messages": [ASK, ANSWER, ASK, ANSWER], "rejected_response": "雨。"},
    ):
        assert marks(row) == [*first, first[0], ("assistant", "晴。", True)]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "北京天气？", "completion": "晴。"},
        {"messages": [ASK, ANSWER]},
        {"instruction": "北京天气？", "output": "晴。"},
        {"conversations": [SHAREGPT[0], SHAREGPT[3]]},
    ],
)
@pytest.mark.parametrize("column", ["label", "kto_tag"])
def test_a_labelled_row_is_trained_only_if_its_label_is_true(
    row: dict[str, Any], column: str
) -> None:
    for label in (True, False):
        found = parse(row | {column: label})
        assert (found.form, found.is_trained) == ("kto", label)


def test_a_row_with_the_columns_of_several_formats_uses_the_first_complete_one() -> None:
    both = {"prompt": "p", "prompt_id": "1", "messages": [ASK, ANSWER]}
    assert parse(both).form == "messages"
    assert (
        parse({"messages": None, "prompt": "p", "completion": "c", "conversations": None}).form
        == "prompt"
    )
    assert (
        parse({"instruction": None, "output": None, "conversations": [ASK, ANSWER]}).form
        == "sharegpt"
    )


def test_a_chosen_conversation_keeps_the_system_prompt_from_another_column() -> None:
    chosen = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]

    found = parse({"system": "S", "prompt": "q", "chosen": chosen, "rejected": chosen})

    assert [(turn.role, turn.content) for turn in found.turns] == [
        ("system", "S"),
        ("user", "q"),
        ("assistant", "a"),
    ]
