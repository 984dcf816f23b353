"""Rows for reviews, and short ways to review them."""

import json
from collections.abc import Sequence
from typing import Any

from app.datasets.review.findings import Finding, Review, WarningCode
from app.datasets.review.reviewer import review_rows

TOPICS = (
    "trains",
    "rivers",
    "bread",
    "clouds",
    "violins",
    "cells",
    "maps",
    "stars",
    "bees",
    "glass",
)
VERBS = (
    "describe",
    "compare",
    "explain",
    "measure",
    "draw",
    "teach",
    "count",
    "sort",
    "question",
    "test",
)


def alpaca(question: str, answer: str) -> dict[str, Any]:
    return {"instruction": question, "input": "", "output": answer}


def different_rows(count: int) -> list[dict[str, Any]]:
    """Return English rows that share few words."""
    return [
        alpaca(
            f"{VERBS[n % 10]} {TOPICS[n // 10 % 10]} for group {n}",
            " ".join(
                f"{TOPICS[(n * 7 + k) % 10]} {VERBS[(n * 3 + k * k) % 10]} item{n * k + k}"
                for k in range(8)
            ),
        )
        for n in range(count)
    ]


def review(rows: Sequence[object]) -> Review:
    lines = [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows]
    reviewed = review_rows(lines, len(rows))
    assert reviewed is not None
    return reviewed.review


def find(rows: Sequence[object]) -> dict[WarningCode, Finding]:
    return {finding.code: finding for finding in review(rows).findings}
