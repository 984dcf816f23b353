"""Raised findings: how new findings replace stored ones, and when an acknowledged finding is raised again."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from app.db.tables import to_json
from contracts.base import UtcDatetime
from contracts.verdicts.finding import LEVELS, Finding, Level

STEADY_SHARE = 0.2
"""A stored value is updated only if it changes by more than this fraction, which avoids an update with every
report."""
WORSE_RATIO = 2.0
"""An acknowledged finding is raised again if its severity has grown by this factor."""


class RaisedFinding(Finding):
    """A finding stored in a job's row."""

    raised_at: UtcDatetime
    acknowledged_at: UtcDatetime | None = None
    """Null unless a user has acknowledged the finding. The fields below are its state at that time."""
    acknowledged_level: Level | None = None
    acknowledged_severity: float | None = None
    acknowledged_count: int | None = None

    def acknowledged(self, now: datetime) -> "RaisedFinding":
        """Return this finding, marked as acknowledged."""
        if self.acknowledged_at is not None:
            return self
        return self.model_copy(
            update={
                "acknowledged_at": now,
                "acknowledged_level": self.level,
                "acknowledged_severity": self.severity,
                "acknowledged_count": self.count,
            }
        )

    def _is_worse_than_acknowledged(self) -> bool:
        return (
            LEVELS.index(self.level) > LEVELS.index(self.acknowledged_level or "info")
            or self.severity >= WORSE_RATIO * (self.acknowledged_severity or 0.0)
            or self.count > (self.acknowledged_count or 0)
        )

    def followed_by(self, newest: Finding, now: datetime) -> "RaisedFinding":
        """Return the finding with the latest values. An acknowledged finding is raised again if it has become worse."""
        if _is_steady(self, newest):
            return self
        updated = self.model_copy(
            update={name: getattr(newest, name) for name in Finding.model_fields}
        )
        if self.acknowledged_at is None or not updated._is_worse_than_acknowledged():  # noqa: SLF001  # the same class
            return updated
        return RaisedFinding(**newest.model_dump(), raised_at=now)


def load(stored: Sequence[Mapping[str, Any]] | None) -> list[RaisedFinding]:
    """Return the findings in a job's row, except those added in later versions."""
    found: list[RaisedFinding] = []
    for content in stored or ():
        try:
            found.append(RaisedFinding.model_validate(content))
        except ValidationError:
            continue
    return found


def dump(findings: Sequence[RaisedFinding]) -> list[dict[str, Any]] | None:
    """Return the findings as column content."""
    return [to_json(finding) for finding in findings] or None


def merge(
    held: Sequence[RaisedFinding], newest: Sequence[Finding], now: datetime
) -> tuple[list[RaisedFinding], list[RaisedFinding]]:
    """Return the findings to store, and those that are new or raised again. Findings not in `newest` are cleared."""
    before = {finding.code: finding for finding in held}
    merged, raised = [], []
    for finding in newest:
        known = before.get(finding.code)
        if known is None:
            current = RaisedFinding(**finding.model_dump(), raised_at=now)
        else:
            current = known.followed_by(finding, now)
        merged.append(current)
        if known is None or (current.raised_at == now and known.raised_at != now):
            raised.append(current)
    return merged, raised


def _is_steady(known: Finding, newest: Finding) -> bool:
    """Return whether the stored values are still close enough to the new ones."""
    if (known.level, known.count) != (newest.level, newest.count):
        return False
    if known.values.keys() != newest.values.keys():
        return False
    return all(
        abs(newest.values[name] - value) <= STEADY_SHARE * abs(value)
        for name, value in known.values.items()
    )
