import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.values.nesting import MAX_DEPTH, TooDeep, check_text, loads

VALUES = st.recursive(
    st.none() | st.integers() | st.text(alphabet='[]{}\\"\n a', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text('[{"\\', max_size=3), inner)
    ),
    max_leaves=30,
)


def nested(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = [value]
    return value


def depth_of(value: Any) -> int:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth_of, inner), default=0)
    return 0


@given(VALUES, st.integers(0, 2 * MAX_DEPTH))
def test_brackets_inside_strings_do_not_count_as_depth(value: Any, levels: int) -> None:
    deep = nested(value, levels)
    text = json.dumps([deep, "[" * 200])

    if 1 + depth_of(deep) <= MAX_DEPTH:
        check_text(text)
        assert loads(text) == json.loads(text)
        assert loads(text.encode()) == json.loads(text)
    else:
        for parse in (loads, check_text):
            with pytest.raises(TooDeep):
                parse(text)


def test_brackets_side_by_side_do_not_add_depth() -> None:
    rows: list[Any] = [{"a": [[]]}] * 1000

    assert loads(json.dumps(rows)) == rows


@pytest.mark.parametrize("text", ['"' + "[" * 500, '"\\', '{"a": "' + "{" * 500 + '\\"', "[" * 100])
def test_an_unterminated_string_does_not_add_depth(text: str) -> None:
    check_text(text)


def test_invalid_json_is_not_reported_as_too_deep() -> None:
    for text in ("", "{", "[1,]", "nul", b"\xff"):
        with pytest.raises(ValueError) as caught:  # noqa: PT011  # the error's type varies and is checked below
            loads(text)
        assert not isinstance(caught.value, TooDeep)
