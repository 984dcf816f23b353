"""Progress of a running job: typed columns that a worker's report changes."""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from contracts.job import Phase


class Unchanged(Enum):
    """The type of UNCHANGED. It differs from None, which clears a column."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED
"""Marks a column that is not written."""


@dataclass(frozen=True)
class Changes:
    """Columns of a row, by name. Only those that are not UNCHANGED are written."""

    def columns(self) -> dict[str, Any]:
        """Return the columns to write and their values; empty if nothing changes."""
        return {name: value for name, value in vars(self).items() if value is not UNCHANGED}


@dataclass(frozen=True)
class JobProgress(Changes):
    """Columns of a job. The names are those of `app.db.tables.Job`."""

    phase: Phase | Unchanged = UNCHANGED
    step: int | Unchanged = UNCHANGED
    total_steps: int | Unchanged = UNCHANGED
    epoch: float | Unchanged | None = UNCHANGED
    last_loss: float | Unchanged | None = UNCHANGED
    seconds_per_step: float | Unchanged | None = UNCHANGED
    eval_loss: float | Unchanged | None = UNCHANGED
    eval_seconds: float | Unchanged | None = UNCHANGED
    checkpoint_step: int | Unchanged = UNCHANGED
    health: list[dict[str, Any]] | Unchanged | None = UNCHANGED
    rows_done: int | Unchanged | None = UNCHANGED
    rows_total: int | Unchanged | None = UNCHANGED
    rows_seconds: float | Unchanged | None = UNCHANGED
    rows_seconds_left: float | Unchanged | None = UNCHANGED

    def enter(self, phase: Phase) -> "JobProgress":
        """Return these changes with a new phase and cleared row counts."""
        return replace(
            self,
            phase=phase,
            rows_done=None,
            rows_total=None,
            rows_seconds=None,
            rows_seconds_left=None,
        )
