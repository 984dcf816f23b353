"""Rows in another script than the rest."""

from app.datasets.review.findings import WarningCode
from tests.app.datasets.review.reviewed import alpaca, different_rows, find


def test_rows_in_another_script_than_the_rest_differ() -> None:
    rows = [
        alpaca(
            f"第{n}题：请介绍这座城市的历史与文化", f"这座城市有{n}年的历史，文化十分丰富，值得一游"
        )
        for n in range(40)
    ]
    rows.insert(
        7, alpaca("Describe the history of this city", "The city is very old and worth a visit.")
    )
    rows.insert(
        9,
        alpaca(
            "请写一个计算平方的函数，并说明它的用法",
            "```python\ndef square_of_number(value):\n    return value * value\n```",
        ),
    )

    found = find(rows)[WarningCode.OTHER_LANGUAGE]

    assert (found.rows, found.found, found.places[0].row) == (1, {"latin": 1}, 8)


def test_datasets_in_two_languages_have_no_rows_that_differ() -> None:
    rows = [
        alpaca(f"这是第{n}个问题，请认真回答它吧", "好的，这就是问题的答案，请看一看")
        for n in range(20)
    ]

    assert WarningCode.OTHER_LANGUAGE not in find([*rows, *different_rows(20)])
