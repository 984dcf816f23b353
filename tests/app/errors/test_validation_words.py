"""No message about invalid input uses pydantic's own wording, in either language."""

import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from app.datasets.files.found import Rejected
from app.errors.field_words import FIELD_WORDS
from app.http.validation import field_errors
from contracts.dataset.row_error import RowError
from contracts.dataset.rows import parse_json, parse_row
from contracts.job import JobSpec
from tests.app.errors.error_shape import CHINESE
from tests.factories import make_spec


@pytest.mark.parametrize(
    ("row", "chinese"),
    [
        (3, "应为对象"),
        ({"a": 1}, "不符合任何已知格式"),
        ({"instruction": 1, "output": "x"}, "应为字符串"),
        ({"messages": [{"role": "user", "content": "x"}]}, "没有助手的回答"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "应为"),
        (
            {"messages": [{"role": "assistant", "content": "x", "weight": 2}]},
            "该轮不参与训练",
        ),
        ({"instruction": "a", "output": "b", "history": [["x"]]}, "history"),
    ],
)
def test_invalid_rows_are_reported_in_chinese(row: object, chinese: str) -> None:
    with pytest.raises(RowError) as found:
        parse_row(row, 5)

    sentence = Rejected(found.value, 4).describe("zh")
    assert sentence.startswith("第 4 条，第 5 行：")
    assert chinese in sentence


UNUSUAL_VALUES: list[Any] = [None, True, -1, 10**30, 1.5, math.nan, "x", [], {}, {"a": 1}, "\ud800"]
PYDANTIC_WORDING = re.compile(
    r"Input|input should|String should|dictionary|instance of|unicode string|raw data|\((?!got )|\[key\]|function-|constrained|literal"
)


def every_change(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield specs in which one field, at any depth, is replaced by an unusual value."""
    for name, value in fields.items():
        yield from ({**fields, name: unusual} for unusual in UNUSUAL_VALUES)
        if isinstance(value, dict):
            yield from ({**fields, name: inner} for inner in every_change(value))


def test_errors_in_a_spec_never_use_pydantics_wording() -> None:
    spec = make_spec(labels={"k": "v"}, training={"early_stopping": {"patience": 3}})
    found = set()
    for change in [
        *every_change(spec.model_dump(mode="json")),
        spec.model_dump(mode="json") | {"labels": {"": "x", "y" * 65: "z", "k": "v" * 600}},
    ]:
        try:
            JobSpec.model_validate(change)
        except ValidationError as error:
            errors = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
            assert {each["type"] for each in errors} <= set(FIELD_WORDS)
            found |= {(each.param, each.message) for each in field_errors(errors, "en")}
            for each in field_errors(errors, "zh"):
                assert CHINESE.search(each.message), each

    assert len(found) > 100
    assert [each for each in found if PYDANTIC_WORDING.search(f"{each[0]} {each[1]}")] == []
    assert ("labels", 'must have 1 or more characters (got "")') in found


def test_a_line_that_is_not_json_is_reported_in_chinese() -> None:
    with pytest.raises(RowError) as found:
        parse_json(b"{", 1)

    assert "不是合法的 JSON" in Rejected(found.value).describe("zh")
