"""RowFeatures: chat template features that a dataset's rows need, counted at upload and checked at submission."""

from collections import Counter

from pydantic import Field

from contracts.base import Tolerant
from contracts.dataset.conversation import Conversation, Parsed, Role
from contracts.record import Count

_ZERO = Field(default=0, ge=0)


class RowFeatures(Tolerant):
    """Numbers of rows."""

    roles: dict[Role, Count] = {}
    """Conversations with a turn of this role."""
    tools: int = _ZERO
    """Conversations that offer tools to the assistant."""
    tool_calls: int = _ZERO
    """Conversations in which the assistant calls a tool."""
    reasoning_content: int = _ZERO
    """Conversations that contain the assistant's reasoning."""
    weights: int = _ZERO
    """Conversations in which only some of the answers are trained on."""
    untrained: int = _ZERO
    """Rows with nothing to train on: the KTO label is false, every weight is 0, or the text is empty. Training skips
    them."""


class FeatureCounter:
    """Counts the features of rows one by one."""

    def __init__(self) -> None:
        self._roles: Counter[Role] = Counter()
        self._counts: Counter[str] = Counter()

    def add(self, row: Parsed) -> None:
        """Count a row. A row with nothing to train on is not rendered, so it needs no template features."""
        if not row.is_trained:
            self._counts["untrained"] += 1
            return
        if not isinstance(row, Conversation):
            return
        # Plain loops, because a file may have millions of rows.
        roles, found = set(), set()
        for turn in row.turns:
            roles.add(turn.role)
            if not turn.is_answer:
                continue
            if turn.tool_calls:
                found.add("tool_calls")
            if turn.reasoning_content:
                found.add("reasoning_content")
            if not turn.trained:
                found.add("weights")
        if row.tools:
            found.add("tools")
        for role in roles:
            self._roles[role] += 1
        for name in found:
            self._counts[name] += 1

    def features(self) -> RowFeatures:
        """Return the counts so far."""
        return RowFeatures(roles=dict(self._roles), **self._counts)
