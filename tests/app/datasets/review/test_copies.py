"""Duplicates and near duplicates in a dataset, and rows that two datasets share."""

import json
from typing import Any

import pytest

from app.datasets.review.checks.copies import count_common
from app.datasets.review.findings import WarningCode
from app.datasets.review.reviewer import SAMPLED_BLOCK, review_rows
from tests.app.datasets.review.reviewing import alpaca, different_rows, find, review


def test_rows_that_differ_only_in_case_and_spaces_are_duplicates() -> None:
    rows = [
        *different_rows(5),
        alpaca("What is a tree?", "A plant"),
        alpaca("what is  a tree?", "a PLANT "),
    ]

    found = find(rows)

    assert found.keys() == {WarningCode.DUPLICATES}
    place = found[WarningCode.DUPLICATES].places[0]
    assert (place.row, place.same_as_row) == (7, 6)
    assert review(rows).statistics.rows_with_copies == 2


def test_rows_of_different_formats_with_the_same_turns_are_duplicates() -> None:
    chat = {
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
    }

    assert find([alpaca("Hi", "Yes"), chat])[WarningCode.DUPLICATES].rows == 1


@pytest.mark.parametrize("separator", [" ", ""])
def test_rows_that_differ_in_one_word_are_near_duplicates(separator: str) -> None:
    words = [chr(0x4E00 + n) if separator == "" else f"word{n}" for n in range(120)]
    changed = [*words[:60], "x", *words[61:]]
    rows = [
        *different_rows(3),
        alpaca("q", separator.join(words)),
        alpaca("q", separator.join(changed)),
    ]

    found = find(rows)

    place = found[WarningCode.NEAR_DUPLICATES].places[0]
    assert (place.row, place.same_as_row) == (5, 4)


def test_rows_that_share_only_a_template_are_not_near_duplicates() -> None:
    lead = "Classify the sentiment of the following review as positive, negative or neutral.\nAnswer with one word only.\n"
    rows = [alpaca(lead + row["output"], "positive") for row in different_rows(60)]

    assert WarningCode.NEAR_DUPLICATES not in find(rows)


def test_rows_that_share_three_quarters_of_their_words_are_not_near_duplicates() -> None:
    lead = " ".join(f"lead{n}" for n in range(75))
    tails = [" ".join(f"row{n}word{k}" for k in range(12)) for n in range(150)]

    assert WarningCode.NEAR_DUPLICATES not in find([alpaca(lead, tail) for tail in tails])


def test_a_large_dataset_is_compared_in_blocks_of_consecutive_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.datasets.review.reviewer.SAMPLED_ROWS", 2 * SAMPLED_BLOCK)
    rows = different_rows(4 * SAMPLED_BLOCK)

    found = review(rows)

    assert (found.reviewed_rows, found.compared_rows) == (400, 200)


def hashes(rows: list[dict[str, Any]]) -> bytes:
    reviewed = review_rows([json.dumps(row).encode() for row in rows], len(rows))
    assert reviewed is not None
    return reviewed.hashes


def test_common_rows_of_two_datasets_are_counted_by_their_hashes() -> None:
    rows = different_rows(30)

    assert count_common(hashes(rows[:20]), hashes([*rows[15:], *rows[15:17]])) == (5, True)


def test_common_rows_of_large_datasets_are_estimated_from_samples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [alpaca(f"question {n}", "answer") for n in range(1200)]
    small = hashes(rows[:600])
    monkeypatch.setattr("app.datasets.review.checks.copies.MOST_STORED", 500)
    large = hashes(rows)

    assert len(large) <= 501 * 8
    common, is_exact = count_common(small, large)
    assert not is_exact
    assert 400 < common < 800
    assert count_common(large, small) == (common, is_exact)
