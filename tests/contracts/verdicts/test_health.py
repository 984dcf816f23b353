"""The health rules for running jobs, applied to recorded runs and at their thresholds."""

import math
import random
from typing import Any

import pytest

from contracts.verdicts.course import LossAt
from contracts.verdicts.finding import Finding, HealthCode
from contracts.verdicts.health import judge_health
from contracts.verdicts.learning import FRESH_SPIKE_STEPS
from contracts.verdicts.machine import DISK_BYTES, Conditions
from contracts.verdicts.trace import MOST_WINDOWS, RECENT_STEPS, Step, Trace
from tests.recorded.curves import HEALTHY, UNHEALTHY, play, read_curve

C = HealthCode


def codes(findings: list[Finding]) -> set[HealthCode]:
    return {finding.code for finding in findings}


def steps(first: int, last: int, **figures: Any) -> list[Step]:
    defaults = {"loss": 2.0, "grad_norm": 0.5, "tokens": 100.0, "seconds": 1.0}
    return [Step(number, **(defaults | figures)) for number in range(first, last + 1)]


def only(findings: list[Finding], code: HealthCode) -> Finding:
    (found,) = [finding for finding in findings if finding.code is code]
    return found


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_run_gets_no_finding_at_any_step(name: str) -> None:
    assert {step: codes(found) for step, found in play(read_curve(name)) if found} == {}


@pytest.mark.parametrize(("name", "code"), UNHEALTHY.items())
def test_an_unhealthy_run_gets_exactly_the_expected_finding(name: str, code: HealthCode) -> None:
    seen = [codes(found) for _, found in play(read_curve(name))]

    assert set().union(*seen) == {code}
    assert seen[-1] == {code}
    assert seen == sorted(seen, key=len), "the finding must not disappear again"


def test_a_spike_is_reported_at_the_step_of_a_bad_row_and_soon_ceases_to_be_a_warning() -> None:
    curve = read_curve("spiky")
    found = [only(found, C.LOSS_SPIKE) for _, found in play(curve) if found]

    for finding in found:
        assert curve.steps[finding.step - 1].loss == finding.values["loss"]
        assert finding.values["loss"] > finding.values["usual_loss"] + math.log(2)
    trace = curve.trace
    trace.add(curve.steps)
    last, spike = trace.last_step, found[-1]
    assert spike.level == "warning"
    trace.add(steps(last + 1, spike.step + FRESH_SPIKE_STEPS, loss=curve.steps[-1].loss))
    assert only(judge_health(trace, None), C.LOSS_SPIKE).level == "info"


def test_a_divergence_is_reported_immediately_with_the_loss_at_the_start() -> None:
    curve = read_curve("diverging")
    step, found = next((step, found) for step, found in play(curve) if found)

    assert step < 10
    assert found[0].level == "error"
    assert found[0].values["start_loss"] == curve.steps[0].loss


def test_a_loss_that_is_not_finite_is_a_divergence() -> None:
    trace = Trace()
    trace.add([*steps(1, 5), Step(6, math.nan)])

    assert only(judge_health(trace, 100), C.DIVERGED).step == 6


def test_a_repeated_step_replaces_one_that_was_not_finite() -> None:
    trace = Trace()
    trace.add([*steps(1, 5), Step(6, math.nan)])

    trace.add(steps(6, 9))

    assert judge_health(trace, 100) == []


@pytest.mark.parametrize("tokens", [-1.0, 0.0, math.nan, math.inf])
def test_an_impossible_number_of_tokens_does_not_break_the_rules(tokens: float) -> None:
    trace = Trace()
    trace.add([Step(1, 2.0, 1.0, 1.0, 1.0), Step(2, 2.0, 1.0, tokens, 1.0)])

    assert trace.recent_loss == 2.0
    assert judge_health(trace, 100) == []


def test_an_evaluation_from_before_the_divergence_does_not_hide_it() -> None:
    trace = Trace()
    trace.add_evaluation(0, 2.1)
    trace.add(steps(1, 100))
    trace.add_evaluation(100, 1.8)
    trace.add(steps(101, 130, loss=6.0))

    assert C.DIVERGED in codes(judge_health(trace, 1000))


def test_a_run_whose_trace_does_not_begin_at_its_start_cannot_be_a_plateau() -> None:
    begun, whole = Trace(), Trace()
    begun.add(steps(500, 900))
    whole.add(steps(1, 900))

    assert judge_health(begun, 1000) == []
    assert codes(judge_health(whole, 1000)) == {C.PLATEAU}


@pytest.mark.parametrize(("norm", "expected"), [(4.9, set()), (6.0, {C.GRADIENT_EXPLODING})])
def test_gradients_explode_at_ten_times_their_usual_norm(norm: float, expected: set[C]) -> None:
    trace = falling()
    trace.add(steps(121, 130, loss=1.0, grad_norm=norm))

    assert codes(judge_health(trace, 200)) == expected


@pytest.mark.parametrize(("norm", "expected"), [(8.0, set()), (12.0, {C.GRADIENT_CLIPPED})])
def test_only_heavy_clipping_over_a_hundred_steps_is_reported(
    norm: float, expected: set[C]
) -> None:
    trace = Trace()
    trace.add(Step(n, 2.0 - n / 200, norm, 100.0, 1.0) for n in range(1, 121))

    assert codes(judge_health(trace, 200)) == expected


def test_a_run_stalls_after_ten_usual_steps_but_not_within_a_minute() -> None:
    slow, fast = falling(seconds=20.0), falling(seconds=0.1)

    assert judge_health(fast, 200, Conditions(silent_seconds=59)) == []
    assert codes(judge_health(fast, 200, Conditions(silent_seconds=61))) == {C.STALLED}
    assert judge_health(slow, 200, Conditions(silent_seconds=199)) == []
    assert codes(judge_health(slow, 200, Conditions(silent_seconds=201))) == {C.STALLED}
    assert judge_health(slow, 200, Conditions(is_training=False, silent_seconds=999)) == []


def test_a_run_that_does_not_complete_its_first_step_has_stalled_after_ten_minutes() -> None:
    assert judge_health(Trace(), 200, Conditions(silent_seconds=599)) == []
    found = only(judge_health(Trace(), 200, Conditions(silent_seconds=601)), C.STALLED)
    assert found.step == 0
    assert "usual_seconds" not in found.values


@pytest.mark.parametrize(("seconds", "expected"), [(18.0, set()), (24.0, {C.SLOWDOWN})])
def test_a_run_is_slow_below_half_its_own_throughput(seconds: float, expected: set[C]) -> None:
    trace = falling(seconds=10.0)
    trace.add(steps(121, 135, loss=1.0, seconds=seconds))

    assert codes(judge_health(trace, 200)) == expected


def test_a_run_that_becomes_faster_is_not_slow() -> None:
    trace = falling(seconds=20.0)
    trace.add(steps(121, 200, loss=1.0, seconds=2.0))

    assert judge_health(trace, 200) == []


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ({"sys.gpu_percent": 31.0}, set()),
        ({"sys.gpu_percent": 29.0}, {C.GPU_STARVED}),
        ({"sys.gpu_percent": 5.0, "sys.gpu_percent.1": 95.0}, set()),
        ({"sys.gpu_throttle_reasons": 0x04}, set()),
        ({"sys.gpu_throttle_reasons": 0x44}, {C.GPU_THROTTLED}),
        ({"sys.gpu_throttle_reasons": 0.0, "sys.gpu_throttle_reasons.1": 8.0}, {C.GPU_THROTTLED}),
        ({"sys.disk_free_bytes": DISK_BYTES}, set()),
        ({"sys.disk_free_bytes": DISK_BYTES - 1.0}, {C.DISK_NEARLY_FULL}),
    ],
)
def test_the_load_of_the_host_is_judged_over_a_minute(
    sample: dict[str, float], expected: set[C]
) -> None:
    trace = falling()

    assert codes(judge_health(trace, 200, Conditions(samples=[sample] * 12))) == expected


def test_a_raised_finding_is_cleared_only_well_beyond_its_threshold() -> None:
    trace, samples = falling(), [{"sys.gpu_percent": 33.0}] * 12

    assert judge_health(trace, 200, Conditions(samples=samples)) == []
    held = Conditions(samples=samples, held={C.GPU_STARVED})
    assert codes(judge_health(trace, 200, held)) == {C.GPU_STARVED}


def test_a_trace_has_the_same_size_after_a_thousand_and_a_hundred_thousand_steps() -> None:
    trace = Trace()
    trace.add(steps(1, 2_000))
    early = len(trace.encode())
    trace.add(steps(2_001, 100_000))

    assert len(trace.encode()) < 1.5 * early
    assert len(trace.windows) <= MOST_WINDOWS
    assert sum(window.steps for window in trace.windows) == 100_000
    assert len(trace.recent) == RECENT_STEPS


def test_a_trace_that_was_stored_continues_like_one_that_was_not() -> None:
    rng = random.Random(3)  # noqa: S311  # test data
    losses = [3.0 + rng.random() for _ in range(900)]
    losses[700] = 40.0
    whole = [Step(n, loss, 1.0, 50.0, 0.5) for n, loss in enumerate(losses, start=1)]
    straight, stored = Trace(), Trace()
    straight.add(whole)
    for start in range(0, 900, 130):
        stored = Trace.decode(stored.encode())
        stored.add(whole[start : start + 130])

    assert stored.windows == straight.windows
    assert stored.recent == straight.recent
    assert (stored.spikes, stored.spike and stored.spike.step) == (1, 701)
    assert codes(judge_health(stored, 900)) == codes(judge_health(straight, 900))


def test_a_resume_from_an_earlier_step_replaces_the_steps_after_it() -> None:
    trace = Trace()
    trace.add_evaluation(0, 2.0)
    trace.add(steps(1, 60))
    trace.add_evaluation(60, 9.0)
    trace.add(steps(61, 70, loss=30.0))
    assert C.DIVERGED in codes(judge_health(trace, 200))

    trace.add(steps(41, 65))

    assert trace.last_step == 65
    assert trace.evaluations == [LossAt(0, 2.0)]
    assert judge_health(trace, 200) == []


def falling(seconds: float = 1.0) -> Trace:
    """Return the trace of a healthy run of 120 steps."""
    trace = Trace()
    trace.add(Step(n, 2.0 - n / 120, 0.5, 100.0, seconds) for n in range(1, 121))
    return trace
