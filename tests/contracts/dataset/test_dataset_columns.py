from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.dataset.columns.detect import detect_form
from contracts.dataset.columns.mapping import ALL_KNOWN, KNOWN, Columns
from contracts.dataset.conversation import Form
from contracts.dataset.features import FeatureCounter
from contracts.dataset.row_error import RowError
from contracts.dataset.rows import parse_row

MESSAGES = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
ROWS: dict[Form, dict[str, Any]] = {
    "alpaca": {"instruction": "a", "output": "b"},
    "prompt": {"prompt": "a", "completion": "b"},
    "messages": {"messages": MESSAGES},
    "sharegpt": {"conversations": MESSAGES},
    "text": {"text": "a"},
    "preference": {"prompt": "a", "chosen": "b", "rejected": "c"},
    "kto": {"prompt": "a", "completion": "b", "label": True},
}
EVERYTHING = {name: value for row in ROWS.values() for name, value in row.items()}


@pytest.mark.parametrize("form", ROWS)
def test_a_chosen_format_uses_only_its_own_columns_of_a_row_that_has_every_column(
    form: Form,
) -> None:
    columns = Columns(form)

    arranged = columns.arrange(EVERYTHING, 1)

    if form == "kto":  # the first complete format is the one that is rated
        assert "rejected" not in arranged
    assert detect_form(arranged) == form
    assert parse_row(arranged, 1).form == form
    assert columns.arrange(arranged, 1) == arranged


def test_every_known_column_belongs_to_a_format() -> None:
    assert set(ALL_KNOWN) == {name for names in KNOWN.values() for name in names}
    for form, row in ROWS.items():
        assert set(row) <= set(KNOWN[form])


def test_columns_may_swap_their_names() -> None:
    swapped = Columns(None, {"prompt": "completion", "completion": "prompt"})

    assert swapped.arrange({"prompt": "a", "completion": "b", "id": 1}, 1) == {
        "prompt": "b",
        "completion": "a",
        "id": 1,
    }


@pytest.mark.parametrize(("good", "trained"), [("True", True), ("false", False), (0, False)])
def test_the_column_that_is_chosen_as_the_label_rates_the_answer(
    good: object, trained: bool
) -> None:
    columns = Columns(None, {"label": "good"})

    parsed = parse_row(columns.arrange({"prompt": "a", "completion": "b", "good": good}, 1), 1)

    assert (parsed.form, parsed.is_trained) == ("kto", trained)


def test_an_error_names_the_column_of_the_file() -> None:
    columns = Columns(None, {"messages": "dialog \ud800"})
    row = {"dialog \ud800": [{"role": "user"}]}

    with pytest.raises(RowError) as caught:
        parse_row(columns.arrange(row, 3), 3)

    explained = columns.explain(caught.value)
    assert str(explained) == "line 3: dialog \\ud800[0].content is missing"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("\ud800"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "role",
                    "content",
                    "from",
                    "value",
                    "weight",
                    "tool_calls",
                    "function",
                    "name",
                    "arguments",
                    "type",
                    "text",
                    "messages",
                ]
            )
            | st.text(max_size=3),
            inner | st.sampled_from(["user", "assistant", "gpt", "function_call", "tool", "text"]),
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from([*ALL_KNOWN, "id"]), _VALUES, max_size=5),
    st.sampled_from([None, *ROWS]),
)
def test_any_row_is_parsed_or_is_a_row_error_in_both_languages(
    row: dict[str, object], form: Form | None
) -> None:
    try:
        arranged = Columns(form).arrange(row, 1)
        parsed = parse_row(arranged, 1)
    except RowError as error:
        said = [error.sentence(), error.sentence("zh")]
    else:
        said = [parsed.form]
        FeatureCounter().add(parsed)
        assert form in {None, parsed.form}
    assert all(said)
