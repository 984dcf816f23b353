"""Stored refusals, which other versions of the server may have written."""

from typing import Any

import pytest

from app.datasets.files.file_error import FileProblem
from app.datasets.refusal import Refused

ROW_CODES = [
    "not_an_object",
    "unknown_form",
    "other_form",
    "missing",
    "empty",
    "empty_answer",
    "wrong_type",
    "too_long",
    "unknown_role",
    "no_pair",
    "not_unicode",
    "no_answer",
    "late_system",
    "turn_weight",
    "not_text",
    "label",
    "too_many_bytes",
    "too_deep",
    "not_json",
    "long_number",
    "after_array",
    "no_comma",
    "unended_array",
]
"""Every code of a row that a version of the server has stored. Do not remove any."""
FIGURES = dict.fromkeys(
    ("found", "expected", "place", "keys", "form", "limit", "kind", "said"), "1"
)


def load(family: str, code: str, figures: dict[str, Any]) -> Refused:
    stored = Refused("dataset_invalid").dump()
    frame = (
        f'["rejected", "", 3, 4, "{family}", "{code}", {str(figures).replace(chr(39), chr(34))}]'
    )
    return Refused.load(stored | {"rejected": [frame]})


@pytest.mark.parametrize("code", ROW_CODES)
def test_every_code_that_was_ever_stored_is_described(code: str) -> None:
    refused = load("row", code, FIGURES)

    assert refused.rejected[0].error.problem.value == code
    for language in ("en", "zh"):
        assert refused.describe(language)[0].strip()


@pytest.mark.parametrize("family", ["row", "file"])
def test_an_unknown_code_is_described_in_general_words(family: str) -> None:
    refused = load(family, "from_the_future", {"line": 1, "kind": "new"})

    (problem,) = refused.describe("en")
    assert "another version of the server rejected it" in problem
    assert "其他版本" in refused.describe("zh")[0]
    errors = refused.error("en").errors or []
    assert [each.code for each in errors] == [FileProblem.OTHER]
