"""RowFeatures: what the rows of a dataset need from a chat template, counted at upload and compared with the model at submission."""

from collections import Counter

from pydantic import Field

from contracts.base import Tolerant
from contracts.dataset.conversation import Conversation, Parsed, Role
from contracts.record import Count

_ZERO = Field(default=0, ge=0)


class RowFeatures(Tolerant):
    """Numbers of rows."""

    roles: dict[Role, Count] = {}
    """Conversations that have a turn of the role."""
    tools: int = _ZERO
    """Conversations that offer tools to the assistant."""
    tool_calls: int = _ZERO
    """Conversations in which the assistant calls a tool."""
    reasoning_content: int = _ZERO
    """Conversations with reasoning of the assistant."""
    weights: int = _ZERO
    """Conversations of which some answers are trained and others are not."""
    untrained: int = _ZERO
    """Rows of which nothing is trained: a KTO label or every weight says no, or the text is empty. Training skips them."""


class FeatureCounter:
    """Counts the features of rows one by one."""

    def __init__(self) -> None:
        self._roles: Counter[Role] = Counter()
        self._counts: Counter[str] = Counter()

    def add(self, row: Parsed) -> None:
        """Count a row. A row of which nothing is trained is not rendered, so it needs nothing from the template."""
        if not row.is_trained:
            self._counts["untrained"] += 1
            return
        if not isinstance(row, Conversation):
            return
        answers = [turn for turn in row.turns if turn.is_answer]
        self._roles.update({turn.role for turn in row.turns})
        found = {
            "tools": bool(row.tools),
            "tool_calls": any(turn.tool_calls for turn in answers),
            "reasoning_content": any(turn.reasoning_content for turn in answers),
            "weights": not all(turn.trained for turn in answers),
        }
        self._counts.update(name for name, is_found in found.items() if is_found)

    def features(self) -> RowFeatures:
        """Return the counts so far."""
        return RowFeatures(roles=dict(self._roles), **self._counts)
