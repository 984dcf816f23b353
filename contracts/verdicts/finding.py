"""Finding: the result of one rule on a running job, and its codes."""

from collections.abc import Collection
from enum import StrEnum
from typing import Literal

from contracts.base import Tolerant

Level = Literal["info", "warning", "error"]
LEVELS: tuple[Level, ...] = ("info", "warning", "error")
"""From least to most severe."""


class HealthCode(StrEnum):
    """Codes of the findings on a running job."""

    DIVERGED = "diverged"
    EVAL_LOSS_RISING = "eval_loss_rising"
    PLATEAU = "plateau"
    LOSS_SPIKE = "loss_spike"
    GRADIENT_EXPLODING = "gradient_exploding"
    GRADIENT_CLIPPED = "gradient_clipped"
    STALLED = "stalled"
    SLOWDOWN = "slowdown"
    GPU_STARVED = "gpu_starved"
    GPU_THROTTLED = "gpu_throttled"
    DISK_NEARLY_FULL = "disk_nearly_full"

    @property
    def concerns_learning(self) -> bool:
        """Whether the finding is about the losses. If so, it still applies after the attempt has ended."""
        return self in _LEARNING


_LEARNING = {
    HealthCode.DIVERGED,
    HealthCode.EVAL_LOSS_RISING,
    HealthCode.PLATEAU,
    HealthCode.LOSS_SPIKE,
    HealthCode.GRADIENT_EXPLODING,
    HealthCode.GRADIENT_CLIPPED,
}


EASING = 1.25
"""A raised finding is cleared only this far beyond its threshold, which keeps it from flickering."""


def ease(code: HealthCode, held: Collection[HealthCode]) -> float:
    """Return the factor by which to relax a threshold. `held`: codes of the findings that are currently raised."""
    return EASING if code in held else 1.0


class Finding(Tolerant):
    """The result of one rule."""

    code: HealthCode
    level: Level
    step: int
    """The step to which the finding refers, for example the step of a spike."""
    values: dict[str, float] = {}
    """The figures on which the finding is based. All are finite."""
    severity: float = 1.0
    """Severity, on a scale specific to the rule. An acknowledged finding is raised again if this doubles."""
    count: int = 1
    """Number of occurrences. An acknowledged finding is raised again if this increases."""
