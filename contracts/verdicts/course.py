"""Course: the losses of a run up to a step, and the rules that judge them, for finished and running jobs.

Losses are in nats per supervised token.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

RECENT_SAMPLES = 160
"""Number of samples in the averages that the rules use: ten updates of the reference batch."""
DIVERGED_RISE = math.log(2)
"""A train loss has diverged if it ends this far above its start, or above its start and this far above its minimum. An
increase by this amount doubles the perplexity."""
ABSURD_LOSS = 13.0
"""Nats per token. If the base model's loss is unknown, a loss above this counts as divergence, because it is worse than
a uniform guess among 400,000 tokens."""
OVERFIT_RATIO = 1.1
"""Evaluation and train loss are close if their ratio is below this. The ratio has grown if it increased by more than
this factor."""
RISE_RATIO = 1.05
"""An evaluation loss above this multiple of its minimum has risen."""
SMALLEST_GAP = 0.05
"""Nats per token. A smaller difference between two losses does not count as a gap or an increase, regardless of their
ratio."""
FAIR_BATCH = 8
"""Smallest batch whose first loss is a reliable estimate of the base model's loss on training rows."""


class LossPoint(Protocol):
    """The loss of a step, a window or an evaluation, in nats per supervised token."""

    @property
    def step(self) -> int:
        """Number of optimizer steps completed before the measurement."""

    @property
    def loss(self) -> float:
        """Nats per supervised token; may be non-finite."""


class LossAt(NamedTuple):
    """A LossPoint with no other fields."""

    step: int
    loss: float


@dataclass(frozen=True)
class Course:
    """The losses of a run up to a step."""

    train: Sequence[LossPoint]
    """Train losses in order of steps, averaged by `smooth`. Never empty."""
    evaluations: Sequence[LossPoint]
    """In order of steps. The base model's evaluation, if known, is at step 0."""
    first_step_loss: float | None = None
    """Loss of the first step: the base model's loss on the first batch."""
    effective_batch: int = 16
    """Samples per step."""

    @property
    def base(self) -> float | None:
        """The base model's evaluation loss."""
        is_known = self.evaluations and self.evaluations[0].step == 0
        return self.evaluations[0].loss if is_known else None

    @property
    def trained(self) -> Sequence[LossPoint]:
        """The evaluations after step 0."""
        return [point for point in self.evaluations if point.step > 0]

    @property
    def fair_start(self) -> float | None:
        """Loss of the first step, if its batch is large enough to estimate the base model's loss on training rows."""
        return self.first_step_loss if self.effective_batch >= FAIR_BATCH else None

    def train_loss_at(self, step: int) -> float:
        """Return the latest train loss up to a step, or the first one if all are later."""
        known = [point for point in self.train if point.step <= step]
        return (known[-1] if known else self.train[0]).loss


def smooth(points: Sequence[LossPoint], samples_per_point: int) -> list[LossAt]:
    """Return rolling means over RECENT_SAMPLES samples, or over all points if they have fewer samples."""
    if not points:
        return []
    count = min(len(points), -(-RECENT_SAMPLES // samples_per_point))
    return [
        LossAt(
            points[end - 1].step,
            sum(point.loss for point in points[end - count : end]) / count,
        )
        for end in range(count, len(points) + 1)
    ]


def recent_steps(window_steps: int, effective_batch: int) -> int:
    """Return the number of most recent steps over which the recent train loss is averaged."""
    return max(window_steps, -(-RECENT_SAMPLES // effective_batch))


def find_divergence(course: Course) -> dict[str, float] | None:
    """Return figures if the train loss ended far above its start and the eval loss confirms it, else None."""
    recent, base = course.train[-1].loss, course.base
    latest = course.trained[-1].loss if course.trained else None
    figures = {"recent_train_loss": recent}
    if latest is not None:
        figures["eval_loss"] = latest
    if not all(map(math.isfinite, figures.values())):
        return figures
    known = (loss for loss in (course.first_step_loss, base) if loss is not None)
    starts = [loss for loss in known if math.isfinite(loss)]
    if not starts:
        if recent > ABSURD_LOSS:
            return figures
        starts = [course.train[0].loss]
    start, lowest = max(starts), min(point.loss for point in course.train)
    figures["start_loss"] = start
    far_above = recent > start + DIVERGED_RISE
    lost_gains = recent > start and recent > lowest + DIVERGED_RISE
    if not (far_above or lost_gains):
        return None
    if base is not None and latest is not None:
        # Training rows may be harder than evaluation rows. Without a reliable first loss, only a large increase in both
        # losses counts.
        bound = base if course.fair_start is not None else base + DIVERGED_RISE
        return figures if latest > bound else None
    return figures


def find_rise(evaluations: Sequence[LossPoint]) -> LossPoint | None:
    """Return the lowest evaluation if the newest one is well above it, else None."""
    if not evaluations:
        return None
    lowest, latest = min(evaluations, key=lambda point: point.loss), evaluations[-1].loss
    is_above = latest > RISE_RATIO * lowest.loss and latest - lowest.loss > SMALLEST_GAP
    return lowest if is_above else None


def find_gap_growth(course: Course, train_loss: float, eval_loss: float) -> bool | None:
    """Return whether training increased the ratio of evaluation loss to train loss. None: unknown.

    If the base model's loss is unknown, the gap counts as grown. If the first step's loss is missing or has too few
    samples, the first average is used instead. Training may already have lowered that average, so only growth can be
    proven.
    """
    base = course.base
    if base is None:
        return True
    start = course.train[0].loss if course.fair_start is None else course.fair_start
    grown = eval_loss * start > OVERFIT_RATIO * base * train_loss
    return grown if grown or course.fair_start is not None else None


def exp_loss(loss: float) -> float:
    """Return exp(loss). The result is infinity on overflow, and NaN for NaN."""
    return math.inf if loss >= 700 else math.exp(loss)
