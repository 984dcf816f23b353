"""Preference pairs and labels: only the good answers are trained."""

from typing import Any

import pytest

from tests.contracts.dataset.sample_rows import (
    ANSWER,
    ASK,
    SHAREGPT,
    marks,
    parse,
)

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


def test_a_chosen_conversation_keeps_the_system_prompt_from_another_column() -> None:
    chosen = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]

    found = parse({"system": "S", "prompt": "q", "chosen": chosen, "rejected": chosen})

    assert [(turn.role, turn.content) for turn in found.turns] == [
        ("system", "S"),
        ("user", "q"),
        ("assistant", "a"),
    ]
