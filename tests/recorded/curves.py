"""Reads the recorded curves, and feeds them to the rules step by step, as a server receives them."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.verdicts.finding import Finding, HealthCode
from contracts.verdicts.health import judge_health
from contracts.verdicts.machine import Conditions
from contracts.verdicts.trace import Step, Trace

HERE = Path(__file__).parent
HEALTHY = (
    "healthy_20",
    "healthy_80",
    "healthy_300",
    "healthy_single_500",
    "healthy_1000",
    "healthy_6250",
)
UNHEALTHY = {
    "diverging": HealthCode.DIVERGED,
    "plateau": HealthCode.PLATEAU,
    "overfitting": HealthCode.EVAL_LOSS_RISING,
    "stalled": HealthCode.STALLED,
    "spiky": HealthCode.LOSS_SPIKE,
}
"""The finding that each run must get; any other finding is an error."""


@dataclass(frozen=True)
class Curve:
    """A recorded run."""

    total_steps: int
    effective_batch: int
    max_grad_norm: float
    steps: list[Step]
    evaluations: dict[int, float]
    silent_seconds: float | None
    """How long the run was observed after its last step, if its process was stopped."""

    @property
    def trace(self) -> Trace:
        """Return an empty trace for this run."""
        return Trace(effective_batch=self.effective_batch, max_grad_norm=self.max_grad_norm)


def read_curve(name: str) -> Curve:
    """Return a recorded run."""
    stored: dict[str, Any] = json.loads(gzip.decompress((HERE / f"{name}.json.gz").read_bytes()))
    columns = zip(
        stored["loss"], stored["grad_norm"], stored["tokens"], stored["seconds"], strict=True
    )
    return Curve(
        total_steps=stored["total_steps"],
        effective_batch=stored["effective_batch"],
        max_grad_norm=stored["max_grad_norm"],
        steps=[Step(number, *figures) for number, figures in enumerate(columns, start=1)],
        evaluations={step: loss for step, loss, _ in stored["evaluations"]},
        silent_seconds=stored["silent_seconds"],
    )


def play(curve: Curve) -> Iterator[tuple[int, list[Finding]]]:
    """Yield (step, findings) after each step, and once more after the silence at the end of the run."""
    trace = curve.trace
    held: set[HealthCode] = set()
    if 0 in curve.evaluations:
        trace.add_evaluation(0, curve.evaluations[0])
    for step in curve.steps:
        trace.add([step])
        if step.step in curve.evaluations:
            trace.add_evaluation(step.step, curve.evaluations[step.step])
        found = judge_health(trace, curve.total_steps, Conditions(held=held))
        held = {finding.code for finding in found}
        yield step.step, found
    if curve.silent_seconds is not None:
        conditions = Conditions(held=held, silent_seconds=curve.silent_seconds)
        yield trace.last_step, judge_health(trace, curve.total_steps, conditions)
