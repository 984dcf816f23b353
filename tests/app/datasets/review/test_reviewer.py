"""The reviewer: which rows and places it covers."""

import json

import pytest

from app.datasets.review.findings import WarningCode
from app.datasets.review.reviewer import SAMPLED_BLOCK, review_rows
from tests.app.datasets.review.reviewed import alpaca, different_rows, find, review


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


def test_a_large_dataset_is_compared_in_blocks_of_consecutive_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.datasets.review.reviewer.SAMPLED_ROWS", 2 * SAMPLED_BLOCK)
    rows = different_rows(4 * SAMPLED_BLOCK)

    found = review(rows)

    assert (found.reviewed_rows, found.compared_rows) == (400, 200)


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
