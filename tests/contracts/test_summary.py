import pytest

from contracts.failure import FailureReason
from contracts.summary import Summary, window_steps
from tests.factories import make_summary


@pytest.mark.parametrize(
    ("steps", "window"),
    [(6250, 500), (1, 1), (12, 1), (20, 2), (100, 10), (1000, 100), (50_000, 5000)],
)
def test_the_window_is_the_round_number_nearest_to_a_twelfth_of_the_steps(
    steps: int, window: int
) -> None:
    assert window_steps(steps) == window


def test_a_summary_survives_a_round_trip_through_json_with_its_computed_fields() -> None:
    summary = make_summary(eval_loss=1.6844)

    text = summary.model_dump_json()

    assert Summary.model_validate_json(text) == summary
    assert '"perplexity":5.389' in text


def test_rows_that_are_used_several_times_are_counted_once() -> None:
    facts = {"distinct_rows": 20, "distinct_answers": 20, "top_answer_rows": 1}
    data = {
        "train": facts | {"rows": 20},
        "evaluation": facts | {"rows": 5},
        "overlapping_rows": 0,
        "overlapping_rows_normalized": 0,
    }
    mixture = [{"dataset": "ds_01234567", "weight": 8, "rows": 20, "used_rows": 160}]

    assert make_summary(data=data).given_rows == 160 + 16
    assert make_summary(data=data, mixture=mixture).given_rows == 25


@pytest.mark.parametrize("reason", FailureReason)
def test_every_failure_reason_has_a_message_and_a_hint_in_both_languages(
    reason: FailureReason,
) -> None:
    assert reason.message("en") != reason.message("zh")
    assert reason.hint("en") != reason.hint("zh")
    assert all([reason.message("en"), reason.hint("en"), reason.message("zh"), reason.hint("zh")])
