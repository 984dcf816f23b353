"""Weighted header lists are parsed as RFC 9110 specifies."""

import pytest

from app.http.negotiation.accept import preferences


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("text/html", [("text/html", 1.0)]),
        ("zh-CN, EN;q=0.8 ,*;q=0", [("zh-cn", 1.0), ("en", 0.8), ("*", 0.0)]),
        ("text/csv;header=present;q=0.25", [("text/csv", 0.25)]),
        ("gzip; q=0.5", [("gzip", 0.5)]),
        ("gzip;q=high", [("gzip", 1.0)]),
    ],
)
def test_a_weighted_header_is_parsed_into_names_and_weights(
    header: str, expected: list[tuple[str, float]]
) -> None:
    assert list(preferences(header)) == expected


def test_an_overlong_header_is_read_only_up_to_a_limit() -> None:
    assert len(list(preferences("a," * 100_000))) <= 251
