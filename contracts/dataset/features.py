"""RowFeatures: chat template features that a dataset's rows need, counted at upload and checked at submission."""

from collections import Counter
from collections.abc import Mapping

from pydantic import Field

from contracts.base import Tolerant
from contracts.dataset.conversation import SYSTEM_ROLES, Conversation, Parsed, Role
from contracts.record import Count

_OPENING = set(SYSTEM_ROLES)
"""Roles before the first turn of a dialogue."""
_ZERO = Field(default=0, ge=0)


class RowFeatures(Tolerant):
    """Numbers of rows."""

    roles: dict[Role, Count] = {}
    """Conversations with a turn of this role."""
    tools: int = _ZERO
    """Conversations that offer tools to the assistant."""
    tool_calls: int = _ZERO
    """Conversations in which the assistant calls a tool."""
    parallel_calls: int = _ZERO
    """Conversations in which one assistant turn calls several tools."""
    reasoning_content: int = _ZERO
    """Conversations that contain the assistant's reasoning."""
    late_system: int = _ZERO
    """Conversations with a system or developer turn after another turn."""
    assistant_first: int = _ZERO
    """Conversations whose first turn, after the system turn, is the assistant's."""
    repeated_user: int = _ZERO
    """Conversations with consecutive user turns."""
    repeated_assistant: int = _ZERO
    """Conversations with consecutive assistant turns, neither of which calls a tool. Templates for tool calls accept others."""
    weights: int = _ZERO
    """Conversations in which only some of the answers are trained on."""
    untrained: int = _ZERO
    """Rows with nothing to train on: the KTO label is false, every weight is 0, or the text is empty. Training skips
    them."""


def lacks_features(stored: Mapping[str, object] | None) -> bool:
    """Return whether an earlier version, which did not count all features, has stored these."""
    return stored is None or not RowFeatures.model_fields.keys() <= stored.keys()


class FeatureCounter:
    """Counts the features of rows one by one."""

    def __init__(self) -> None:
        self._roles: Counter[Role] = Counter()
        self._counts: Counter[str] = Counter()

    def add(self, row: Parsed) -> None:
        """Count a row. A row with nothing to train on is not rendered, so it needs no template features."""
        if not isinstance(row, Conversation):
            if not row.is_trained:
                self._counts["untrained"] += 1
            return
        # One loop, because generators would take most of the time of checking a short row.
        roles: set[Role] = set()
        has_trained = has_untrained = has_calls = has_several = has_reasoning = False
        has_late_system = begins_with_answer = repeats_user = repeats_assistant = False
        before: Role | None = None
        called_before = False
        for turn in row.turns:
            role, calls = turn.role, bool(turn.tool_calls)
            if role == before:
                repeats_user = repeats_user or role == "user"
                repeats_assistant = repeats_assistant or (
                    role == "assistant" and not calls and not called_before
                )
            elif role == "assistant" and not roles - _OPENING:
                begins_with_answer = True
            has_late_system = has_late_system or (bool(roles) and role in _OPENING)
            before, called_before = role, calls
            roles.add(role)
            if role != "assistant":
                continue
            if turn.trained:
                has_trained = True
            else:
                has_untrained = True
            has_calls = has_calls or calls
            has_several = has_several or len(turn.tool_calls) > 1
            has_reasoning = has_reasoning or bool(turn.reasoning_content)
        if not has_trained:
            self._counts["untrained"] += 1
            return
        for role in roles:
            self._roles[role] += 1
        for name, is_found in (
            ("tools", bool(row.tools)),
            ("tool_calls", has_calls),
            ("parallel_calls", has_several),
            ("reasoning_content", has_reasoning),
            ("late_system", has_late_system),
            ("assistant_first", begins_with_answer),
            ("repeated_user", repeats_user),
            ("repeated_assistant", repeats_assistant),
            ("weights", has_untrained),
        ):
            if is_found:
                self._counts[name] += 1

    def features(self) -> RowFeatures:
        """Return the counts so far."""
        return RowFeatures(roles=dict(self._roles), **self._counts)
