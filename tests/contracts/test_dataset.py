from typing import Any

import pytest

from contracts.dataset import Message, RowError, parse_json, parse_row, read_jsonl


def turns(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in parse_row(row, 1)]


def test_alpaca_row_joins_instruction_and_input() -> None:
    row = {"instruction": "Translate.", "input": "猫", "output": "cat", "id": 7}

    assert turns(row) == [("user", "Translate.\n猫"), ("assistant", "cat")]


def test_alpaca_row_may_hold_system_and_history() -> None:
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


def test_messages_row_is_taken_as_it_is() -> None:
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}

    assert parse_row(row, 1) == [
        Message(role="user", content="a"),
        Message(role="assistant", content="b"),
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ([], "list"),
        ("text", "string"),
        (None, "null"),
        ({}, "none"),
        ({"question": "a", "answer": "b"}, "answer, question"),
        ({"instruction": "a"}, "output"),
        ({"instruction": "a", "output": ""}, "output"),
        ({"instruction": "a", "output": 3}, "output"),
        ({"instruction": "a", "output": "b", "history": [["c"]]}, "pair"),
        ({"prompt": "a"}, "completion"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": "a"}]}, "no answer"),
        ({"messages": [{"role": "assistant", "content": ""}]}, "no answer"),
        (
            {
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "system", "content": "b"},
                    {"role": "assistant", "content": "c"},
                ]
            },
            "system turn",
        ),
    ],
)
def test_bad_row_is_told_by_line_problem_and_expectation(row: object, problem: str) -> None:
    with pytest.raises(RowError) as caught:
        parse_row(row, 12)

    assert caught.value.line == 12
    assert problem in caught.value.problem
    assert "messages" in caught.value.expected


def test_jsonl_counts_blank_lines_but_yields_none() -> None:
    assert list(read_jsonl([b'{"a": 1}\n', b"\n", b"[2]"])) == [(1, {"a": 1}), (3, [2])]


@pytest.mark.parametrize("text", [b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5000, b""])
def test_what_the_parser_gives_up_on_is_an_error_of_the_row(text: bytes) -> None:
    with pytest.raises(RowError):
        parse_json(text, 4)
