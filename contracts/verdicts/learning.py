"""Rules on the losses and gradients of a running job. Divergence and rising eval loss use the rules of `course.py`."""

import math
from collections.abc import Collection
from statistics import median, pstdev

from contracts.verdicts.course import (
    DIVERGED_RISE,
    FAIR_BATCH,
    Course,
    LossAt,
    find_divergence,
    find_rise,
)
from contracts.verdicts.finding import Finding, HealthCode, ease
from contracts.verdicts.trace import Trace

FRESH_SPIKE_STEPS = 100
"""A spike is no longer reported after this many steps without another one."""
PLATEAU_STEPS = 100
"""A loss cannot be a plateau before this many steps."""
PLATEAU_SHARE = 0.1
"""A loss cannot be a plateau before this fraction of the run."""
PLATEAU_FALL = 0.01
"""A decrease of less than this fraction of the initial loss does not count."""
PLATEAU_EASING = 3.0
"""A raised plateau is cleared once the loss has fallen by this many times the noise, which rarely happens by chance."""
EXPLODED_RATIO = 10.0
"""Gradients have exploded if their norm is this many times the earlier norm."""
EXPLODED_STEPS = 10
"""The norm is the median over this many steps, which makes it robust to single spikes."""
FEWEST_WINDOWS = 5
"""The earlier norm is the median of at least this many windows."""
CLIPPED_STEPS = 100
"""Gradients count as permanently clipped if nearly all of this many steps were clipped."""
CLIPPED_SHARE = 0.95
CLIPPED_RATIO = 10.0
"""The norm must also be this many times the limit. AdamW does not depend on the scale of the gradients, so mild clipping is
harmless."""


def judge_learning(
    trace: Trace, total_steps: int | None, held: Collection[HealthCode] = ()
) -> list[Finding]:
    """Return the findings on losses and gradients, worst first. `held`: codes of the currently raised findings."""
    if trace.nonfinite_step is not None:
        return [Finding(code=HealthCode.DIVERGED, level="error", step=trace.nonfinite_step)]
    if not trace.recent:
        return []
    diverged = _judge_divergence(trace)
    found = [
        diverged,
        # The other rules would only report the divergence again.
        None if diverged else _judge_evaluations(trace),
        None
        if diverged
        else _judge_plateau(
            trace, total_steps, PLATEAU_EASING if HealthCode.PLATEAU in held else 1.0
        ),
        None if diverged else _judge_spikes(trace),
        _judge_explosion(trace, ease(HealthCode.GRADIENT_EXPLODING, held)),
        _judge_clipping(trace, ease(HealthCode.GRADIENT_CLIPPED, held)),
    ]
    return [finding for finding in found if finding is not None]


def _judge_divergence(trace: Trace) -> Finding | None:
    """Apply the rule for finished runs to the run so far.

    An evaluation cannot reflect steps that came after it, so only a newer one can contradict them.
    """
    newest = trace.newest(trace.start_steps)
    # A single spike can move the mean, but not the median.
    recent = min(trace.recent_loss, median(step.loss for step in newest))
    base = [point for point in trace.evaluations if point.step == 0]
    latest = [point for point in trace.evaluations[-1:] if point.step >= max(1, newest[0].step)]
    is_fair = trace.effective_batch >= FAIR_BATCH
    has_base = base and (is_fair or latest)
    course = Course(
        train=[
            *(LossAt(w.end, w.loss) for w in trace.windows if w.steps >= trace.start_steps),
            LossAt(trace.last_step, recent),
        ],
        evaluations=[*(base if has_base else []), *latest],
        first_step_loss=trace.first_loss if is_fair else None,
        effective_batch=trace.effective_batch,
    )
    figures = find_divergence(course)
    if figures is None:
        return None
    rise = recent - figures.get("start_loss", recent - DIVERGED_RISE)
    began = next(
        (w.end for w in trace.windows if w.loss > figures.get("start_loss", 0.0)), trace.last_step
    )
    return _finding(HealthCode.DIVERGED, began, figures, level="error", severity=rise)


def _judge_evaluations(trace: Trace) -> Finding | None:
    lowest = find_rise(trace.evaluations)
    if lowest is None:
        return None
    latest = trace.evaluations[-1]
    figures = {
        "eval_loss": latest.loss,
        "lowest_eval_loss": lowest.loss,
        "lowest_eval_step": lowest.step,
    }
    rise = latest.loss - lowest.loss
    return _finding(HealthCode.EVAL_LOSS_RISING, latest.step, figures, severity=rise)


def _judge_plateau(trace: Trace, total_steps: int | None, easing: float) -> Finding | None:
    """Find a run that has not learned anything yet. A loss that fell and then leveled off may have converged."""
    start, step = trace.start, trace.last_step
    needed = max(PLATEAU_STEPS, 4 * trace.start_steps, PLATEAU_SHARE * (total_steps or 0))
    if start is None or step < needed:
        return None
    losses = [each.loss for each in trace.recent]
    newest = math.fsum(losses) / len(losses)
    noise = pstdev(losses) * math.sqrt(1 / len(losses) + 1 / start.steps)
    if start.loss - newest > easing * max(PLATEAU_FALL * start.loss, noise):
        return None
    figures = {"start_loss": start.loss, "recent_train_loss": newest}
    evaluations = trace.evaluations
    if evaluations and evaluations[0].step == 0 and len(evaluations) > 1:
        base, latest = evaluations[0].loss, evaluations[-1].loss
        if base - latest > PLATEAU_FALL * base:
            return None
        figures |= {"base_eval_loss": base, "eval_loss": latest}
    return _finding(HealthCode.PLATEAU, step, figures)


def _judge_spikes(trace: Trace) -> Finding | None:
    spike = trace.spike
    if spike is None:
        return None
    figures = {"loss": spike.loss, "usual_loss": spike.usual, "count": trace.spikes}
    is_fresh = trace.last_step - spike.step < FRESH_SPIKE_STEPS
    level: str = "warning" if is_fresh else "info"
    return _finding(HealthCode.LOSS_SPIKE, spike.step, figures, level=level, count=trace.spikes)


def _judge_explosion(trace: Trace, easing: float) -> Finding | None:
    newest = trace.newest(EXPLODED_STEPS)
    earlier = [w.grad_norm / w.steps for w in trace.windows if w.end < newest[0].step]
    if len(newest) < EXPLODED_STEPS or len(earlier) < FEWEST_WINDOWS:
        return None
    norm, usual = median(step.grad_norm for step in newest), median(earlier)
    if norm <= max(EXPLODED_RATIO * usual / easing, trace.max_grad_norm):
        return None
    figures = {"grad_norm": norm, "usual_grad_norm": usual}
    return _finding(
        HealthCode.GRADIENT_EXPLODING, newest[0].step, figures, severity=norm / max(usual, 1e-9)
    )


def _judge_clipping(trace: Trace, easing: float) -> Finding | None:
    norms = [step.grad_norm for step in trace.newest(CLIPPED_STEPS)]
    if len(norms) < CLIPPED_STEPS:
        return None
    clipped = sum(norm > trace.max_grad_norm for norm in norms) / len(norms)
    norm = median(norms)
    if clipped < CLIPPED_SHARE or norm < CLIPPED_RATIO * trace.max_grad_norm / easing:
        return None
    figures = {"share": clipped, "grad_norm": norm, "max_grad_norm": trace.max_grad_norm}
    severity = norm / trace.max_grad_norm
    return _finding(HealthCode.GRADIENT_CLIPPED, trace.last_step, figures, severity=severity)


def _finding(
    code: HealthCode,
    step: int,
    figures: dict[str, float],
    *,
    level: str = "warning",
    severity: float = 1.0,
    count: int = 1,
) -> Finding:
    finite = {name: float(value) for name, value in figures.items() if math.isfinite(value)}
    return Finding.model_validate(
        {
            "code": code,
            "level": level,
            "step": step,
            "values": finite,
            "severity": severity,
            "count": count,
        }
    )
