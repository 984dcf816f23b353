"""The verdicts on each run in the table, the thresholds, and the rules that also apply to running jobs."""

import json
import math
from pathlib import Path

import pytest

from contracts.dataset.rows import parse_row
from contracts.summary import Summary
from contracts.verdicts.course import Course, LossAt, find_divergence, find_rise, smooth
from contracts.verdicts.verdict import Verdict, VerdictCode
from examples.demo.tickets import TICKETS_FILE
from tests.factories import make_summary
from tests.judged.bad_runs import BAD
from tests.judged.good_runs import GOOD
from tests.judged.runs import SPOILED, Case, facts, healthy, run
from worker.training.data.facts import measure_rows

V = VerdictCode


def codes(summary: Summary) -> set[VerdictCode]:
    return {verdict.code for verdict in summary.verdicts}


def goods(summary: Summary) -> list[Verdict]:
    return [verdict for verdict in summary.verdicts if verdict.level == "good"]


@pytest.mark.parametrize("case", [*BAD, *GOOD], ids=lambda case: case.name)
def test_a_run_gets_the_expected_verdicts_and_no_excluded_ones(case: Case) -> None:
    found = codes(case.summary)

    assert case.gets <= found, sorted(found)
    assert not case.never & found, sorted(found)


@pytest.mark.parametrize("case", [*BAD, *GOOD], ids=lambda case: case.name)
def test_a_run_with_misleading_figures_or_without_a_gain_gets_no_good_verdict(case: Case) -> None:
    disqualifying = SPOILED | {V.NOT_IMPROVED, V.WORSE_THAN_BASE}

    assert bool(goods(case.summary)) != bool(disqualifying & codes(case.summary))


def test_the_verdicts_of_a_stored_summary_are_recomputed_when_it_is_read() -> None:
    text = (Path(__file__).parents[2] / "snapshots" / "summary.json").read_text()
    stored = {verdict["code"] for verdict in json.loads(text)["verdicts"]}
    assert "not_overfitted" in stored

    summary = Summary.model_validate_json(text)

    assert V.DIVERGED in codes(summary)
    assert goods(summary) == []
    assert (summary.data, summary.first_step_loss, summary.recent_train_loss) == (None, None, None)


def test_a_verdict_contains_its_code_its_level_and_its_figures() -> None:
    summary = healthy(data=facts(overlap=33, exact=30), overlapping_rows=30)

    (verdict,) = [
        each
        for each in json.loads(summary.model_dump_json())["verdicts"]
        if each["code"] == "leaked_evaluation"
    ]

    assert verdict == {
        "code": "leaked_evaluation",
        "level": "warning",
        "figures": {"rows": 33, "exact_rows": 30, "eval_rows": 100, "share": 0.33},
    }


@pytest.mark.parametrize(
    ("perplexity", "code"),
    [
        (2.99, V.PERPLEXITY_EXCELLENT),
        (3.01, V.PERPLEXITY_GOOD),
        (4.99, V.PERPLEXITY_GOOD),
        (5.39, V.PERPLEXITY_NEEDS_WORK),
    ],
)
def test_the_perplexity_verdict_changes_at_three_and_five(
    perplexity: float, code: VerdictCode
) -> None:
    assert code in codes(healthy(eval_loss=math.log(perplexity)))


@pytest.mark.parametrize(
    ("low", "high", "code"),
    [
        (0.1, 0.3, V.IMPROVED),
        (-0.1, 0.3, V.NOT_IMPROVED),
        (-0.3, -0.1, V.WORSE_THAN_BASE),
    ],
)
def test_an_improvement_requires_an_interval_above_zero(
    low: float, high: float, code: VerdictCode
) -> None:
    assert code in codes(healthy(improvement_interval={"low": low, "high": high}))


@pytest.mark.parametrize(("overlap", "code"), [(4, V.ROWS_OVERLAP), (5, V.LEAKED_EVALUATION)])
def test_an_overlap_of_five_percent_or_more_is_a_leaked_evaluation(
    overlap: int, code: VerdictCode
) -> None:
    found = codes(healthy(data=facts(overlap=overlap)))

    assert {V.ROWS_OVERLAP, V.LEAKED_EVALUATION} & found == {code}


def test_the_demo_dataset_has_few_distinct_answers_but_is_not_degenerate() -> None:
    lines = TICKETS_FILE.read_text(encoding="utf-8").splitlines()
    rows = [parse_row(json.loads(line), number) for number, line in enumerate(lines, 1)]

    measured = measure_rows(rows[200:], rows[:200])

    assert measured.train.distinct_answers == 16
    demo = run([2.0, 0.9, 0.8, 0.78], {0: 6.83, 20: 0.9, 40: 0.78}, first=6.9, eval_rows=200)
    assert codes(demo.model_copy(update={"data": measured})) == {
        V.PERPLEXITY_EXCELLENT,
        V.NOT_OVERFITTED,
        V.TRAINABLE_SHARE,
        V.IMPROVED,
    }


def test_impossible_figures_are_judged_without_an_error() -> None:
    nothing = facts((0, 0, 0, 0), (0, 0, 0, 0), overlap=7)

    assert V.LEAKED_EVALUATION in codes(healthy(data=nothing, eval_rows=0))
    endless = [{"step": 1, "loss": math.inf}, {"step": 2, "loss": -math.inf}]
    assert V.DIVERGED in codes(healthy(windows=endless, recent_train_loss=None))
    risen = {0: 2.0, 40: 84.0}
    assert V.DIVERGED in codes(run([60, 84], risen, first=math.nan))
    nothing_done = {"windows": [], "steps": 0, "per_device_batch_size": 0}
    assert codes(make_summary(**nothing_done))


# The rules about how a loss develops. They also apply to the history of a running job.


def test_divergence_is_detected_while_the_job_runs() -> None:
    steps = [LossAt(step, 2.0) for step in range(1, 21)]
    course = Course(train=smooth(steps, 16), evaluations=[LossAt(0, 2.0)], first_step_loss=2.0)
    assert find_divergence(course) is None

    steps += [LossAt(step, 9.0) for step in range(21, 31)]
    course = Course(train=smooth(steps, 16), evaluations=[LossAt(0, 2.0)], first_step_loss=2.0)

    assert find_divergence(course) == {"recent_train_loss": 9.0, "start_loss": 2.0}


def test_a_rise_in_evaluation_loss_is_reported_with_the_lowest_evaluation() -> None:
    falling = [LossAt(0, 2.0), LossAt(10, 1.6), LossAt(20, 1.5)]

    assert find_rise(falling) is None
    assert find_rise([*falling, LossAt(30, 1.54)]) is None
    assert find_rise([*falling, LossAt(30, 1.6)]) == LossAt(20, 1.5)
    assert find_rise([]) is None


def test_losses_are_averaged_over_160_samples_or_over_all_if_there_are_fewer() -> None:
    points = [LossAt(step, float(step)) for step in range(1, 13)]

    assert smooth(points, 16) == [LossAt(10, 5.5), LossAt(11, 6.5), LossAt(12, 7.5)]
    assert smooth(points, 1) == [LossAt(12, 6.5)]
    assert smooth(points, 1000) == points
    assert smooth([], 16) == []
