"""The review of a dataset as a whole: counts, places, statistics and limits."""

import json

import pytest

from app.datasets.review.checks.fields import find_field
from app.datasets.review.findings import WarningCode
from app.datasets.review.reviewer import review_rows
from tests.app.datasets.review.reviewing import alpaca, different_rows, find, review


def test_ordinary_rows_get_no_warning() -> None:
    assert find(different_rows(60)) == {}


def test_an_empty_answer_is_found_in_its_field() -> None:
    rows = [
        alpaca("q", " \n"),
        {
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": ""},
                {"role": "user", "content": ""},
                {"role": "assistant", "content": "b"},
            ]
        },
        {
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": " ", "weight": 0},
                {"role": "assistant", "content": "b"},
            ]
        },
        {
            "messages": [
                {"role": "user", "content": "a"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}],
                },
            ]
        },
    ]

    places = find(rows)[WarningCode.EMPTY_ANSWERS].places

    assert [(place.row, place.field) for place in places] == [
        (1, "output"),
        (2, "messages[1].content"),
    ]


def test_a_chosen_conversation_that_ends_with_a_question_is_found() -> None:
    answered = "\n\nHuman: a\n\nAssistant: b"
    rows = [
        {"chosen": f"{answered}\n\nHuman: and?", "rejected": answered},
        {"chosen": answered, "rejected": answered},
    ]

    finding = find(rows)[WarningCode.UNANSWERED]

    assert [(place.row, place.field) for place in finding.places] == [(1, "chosen")]


def test_the_fields_of_an_exchange_have_the_role_of_their_speaker() -> None:
    row = {"conversation": [{"human": "a <eot>", "assistant": "b <eot>"}]}

    assert find_field(row, "assistant", "<eot>") == "conversation[0].assistant"
    assert find_field(row, "user", "<eot>") == "conversation[0].human"


def test_statistics_count_turns_characters_and_trained_parts() -> None:
    rows = [
        {
            "messages": [
                {"role": "system", "content": "x" * 10},
                {"role": "user", "content": "问" * 20},
                {"role": "assistant", "content": "y" * 30, "weight": 0},
                {"role": "user", "content": "z" * 10},
                {"role": "assistant", "content": "w" * 30},
            ]
        },
        {"text": "t" * 900},
    ]

    statistics = review(rows).statistics

    assert (statistics.turns, statistics.characters, statistics.trained_characters) == (
        6,
        1000,
        930,
    )
    assert statistics.trained_share == pytest.approx(0.93)
    assert statistics.roles == {"system": 10, "user": 30, "assistant": 960}
    lengths = statistics.lengths
    assert (lengths.shortest, lengths.p50, lengths.p90, lengths.longest) == (100, 100, 900, 900)
    assert [
        (each.from_characters, each.to_characters, each.rows) for each in lengths.histogram
    ] == [
        (100, 200, 1),
        (200, 500, 0),
        (500, 1000, 1),
    ]


def test_a_review_that_runs_out_of_time_covers_the_rows_read_so_far() -> None:
    lines = [json.dumps(row).encode() + b"\n" for row in different_rows(600)]

    reviewed = review_rows(lines, 600, lambda: True)

    assert reviewed is not None
    assert 0 < reviewed.review.reviewed_rows < 600


def test_counts_cover_all_rows_but_only_the_first_places_are_listed() -> None:
    finding = find([alpaca(f"q{n}", f"{n} <|im_end|>") for n in range(9)])[
        WarningCode.SPECIAL_TOKENS
    ]

    assert (finding.rows, len(finding.places)) == (9, 5)


def test_json_inside_a_turn_is_text_of_the_turn() -> None:
    answer = json.dumps({"verdict": "<|im_end|>"})
    row = {
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": answer},
        ]
    }

    assert find([row])[WarningCode.SPECIAL_TOKENS].places[0].field == "messages[1].content"


def test_hostile_rows_are_reviewed_like_any_other() -> None:
    nested = "[" * 90 + '"<|im_end|>"' + "]" * 90
    rows = [
        {"instruction": "a", "output": "b <|im_end|>", "x": json.loads(nested), "y": "[{" * 5000},
        {"instruction": "\0", "output": "\u202e<｜\u202e\0｜>", "\u202ekey": "<|im_end|>"},
        {"messages": nested, "instruction": "a", "output": "[{" + "[" * 3000},
        {"unknown": 1},
    ]
    lines = [json.dumps(row).encode() for row in rows] + [b"9" * 5000, b"[" * 5000, b"not JSON"]

    reviewed = review_rows(lines, len(lines))

    assert reviewed is not None
    assert reviewed.review.reviewed_rows == 7
    (finding,) = (each for each in reviewed.review.findings if each.code == "special_tokens")
    assert (finding.rows, finding.places[0].field) == (1, "output")
