import math

import pytest

from contracts.failure import FailureReason
from contracts.summary import Interval, Summary, VerdictCode, window_steps
from tests.factories import make_summary


@pytest.mark.parametrize(
    ("steps", "window"),
    [(6250, 500), (1, 1), (12, 1), (20, 2), (100, 10), (1000, 100), (50_000, 5000)],
)
def test_window_is_the_round_number_nearest_to_a_twelfth(steps: int, window: int) -> None:
    assert window_steps(steps) == window


def codes(summary: Summary) -> set[VerdictCode]:
    return {verdict.code for verdict in summary.verdicts}


@pytest.mark.parametrize(
    ("perplexity", "code"),
    [
        (2.99, VerdictCode.PERPLEXITY_EXCELLENT),
        (3.01, VerdictCode.PERPLEXITY_GOOD),
        (4.99, VerdictCode.PERPLEXITY_GOOD),
        (5.39, VerdictCode.PERPLEXITY_NEEDS_WORK),
    ],
)
def test_perplexity_is_judged_at_three_and_five(perplexity: float, code: VerdictCode) -> None:
    assert code in codes(make_summary(eval_loss=math.log(perplexity)))


@pytest.mark.parametrize(
    ("train", "evaluation", "code"),
    [
        (1.6679, 1.6844, VerdictCode.NOT_OVERFITTED),
        (1.0, 1.2, VerdictCode.OVERFITTED),
        (2.0, 1.2, VerdictCode.EVAL_BELOW_TRAIN),
    ],
)
def test_overfitting_compares_eval_with_train_loss(
    train: float, evaluation: float, code: VerdictCode
) -> None:
    assert code in codes(make_summary(train_loss=train, eval_loss=evaluation))


@pytest.mark.parametrize(
    ("low", "high", "code"),
    [
        (0.1, 0.3, VerdictCode.IMPROVED),
        (-0.1, 0.3, VerdictCode.NOT_IMPROVED),
        (-0.3, -0.1, VerdictCode.WORSE_THAN_BASE),
    ],
)
def test_improvement_needs_an_interval_on_one_side_of_zero(
    low: float, high: float, code: VerdictCode
) -> None:
    summary = make_summary(improvement_interval=Interval(low=low, high=high))

    assert code in codes(summary)


def test_base_that_was_not_measured_gets_no_verdict() -> None:
    assert VerdictCode.IMPROVED not in codes(make_summary(base_eval_loss=None))


def test_data_problems_are_warned_of_only_when_there_are_any() -> None:
    problems = {VerdictCode.ROWS_TRUNCATED, VerdictCode.ROWS_DROPPED, VerdictCode.ROWS_OVERLAP}

    assert not problems & codes(make_summary())
    assert problems <= codes(make_summary(truncated_rows=1, dropped_rows=1, overlapping_rows=1))


def test_summary_survives_json_with_its_computed_figures() -> None:
    summary = make_summary(eval_loss=1.6844)

    text = summary.model_dump_json()

    assert Summary.model_validate_json(text) == summary
    assert '"perplexity":5.389' in text


@pytest.mark.parametrize("reason", FailureReason)
def test_failure_reason_speaks_both_languages(reason: FailureReason) -> None:
    assert reason.message("en") != reason.message("zh")
    assert reason.hint("en") != reason.hint("zh")
    assert all([reason.message("en"), reason.hint("en"), reason.message("zh"), reason.hint("zh")])
