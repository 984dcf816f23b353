"""The statistics of a review."""

import pytest

from tests.app.datasets.review.reviewed import review


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
