"""Judges a running job: `judge_health` returns its findings, worst first. docs/numbers.md explains each threshold."""

from contracts.verdicts.finding import LEVELS, Finding
from contracts.verdicts.learning import judge_learning
from contracts.verdicts.machine import Conditions, judge_machine
from contracts.verdicts.trace import Trace


def judge_health(
    trace: Trace, total_steps: int | None, conditions: Conditions | None = None
) -> list[Finding]:
    """Apply every rule for which the run has figures, and return the findings."""
    conditions = conditions or Conditions()
    found = [
        *judge_learning(trace, total_steps, conditions.held),
        *judge_machine(trace, conditions),
    ]
    return sorted(found, key=lambda finding: -LEVELS.index(finding.level))
