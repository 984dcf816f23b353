"""Finding: the result of one rule on a running job, and its codes."""

from collections.abc import Collection
from enum import StrEnum
from typing import Literal

from contracts.base import Tolerant

Level = Literal["info", "warning", "error"]
LEVELS: tuple[Level, ...] = ("info", "warning", "error")
"""In ascending order."""


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
        """Whether the finding concerns the losses, so that it still holds after the attempt has ended."""
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
"""A finding that was raised is cleared only this far beyond its threshold, so that it does not come and go."""


def ease(code: HealthCode, held: Collection[HealthCode]) -> float:
    """Return the factor by which to relax a threshold; `held` are the codes of the findings that are currently raised."""
    return EASING if code in held else 1.0


class Finding(Tolerant):
    """Result of one rule."""

    code: HealthCode
    level: Level
    step: int
    """The step that the finding is about, for example that of a spike."""
    values: dict[str, float] = {}
    """The figures behind the finding. All are finite."""
    severity: float = 1.0
    """How bad it is, on a scale of the rule's own. An acknowledged finding is raised again if this doubles."""
    count: int = 1
    """How often it has happened. An acknowledged finding is raised again if it happens again."""
