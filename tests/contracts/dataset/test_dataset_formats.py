"""Rows in the formats of public datasets, and the conversations that they are parsed into."""

import json
from typing import Any

import pytest

from contracts.dataset.conversation import Document
from contracts.dataset.features import FeatureCounter
from contracts.dataset.row_error import RowError
from contracts.dataset.rows import parse_row
from tests.contracts.dataset.sample_rows import (
    ANSWER,
    ASK,
    SHAREGPT,
    marks,
    parse,
)


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
