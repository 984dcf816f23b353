"""The parsed form of a dataset row, regardless of its format: a conversation or a plain-text document."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, get_args

Role = Literal["system", "developer", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = get_args(Role)
SYSTEM_ROLES: tuple[Role, ...] = ("system", "developer")
"""Roles of instructions. Many chat templates accept them only in the first turn."""
Form = Literal["alpaca", "prompt", "messages", "sharegpt", "text", "preference", "kto"]
RATING_FORMS: tuple[Form, ...] = ("preference", "kto")
"""Formats whose rows rate answers. A job must explicitly choose to train only on the good answers."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call by the assistant."""

    name: str
    arguments: Mapping[str, Any]
    id: str | None = None


class Message(NamedTuple):
    """One turn. `content` is empty if an assistant turn only calls tools.

    A named tuple, because creating a frozen dataclass takes several times as long and a file may have millions of
    turns.
    """

    role: Role
    content: str
    trained: bool = True
    """Whether the model is trained on this turn. Only assistant turns can be."""
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning_content: str | None = None
    """The assistant's reasoning before its answer."""
    name: str | None = None
    tool_call_id: str | None = None
    """On a tool turn, the id of the corresponding call."""

    @property
    def is_answer(self) -> bool:
        """Whether the assistant produced the turn. If it is empty, only its end-of-turn token can be trained on."""
        return self.role == "assistant"

    @property
    def is_blank(self) -> bool:
        """Whether the turn has neither text nor a tool call."""
        return not self.tool_calls and not self.content.strip()


def begin_with(system: list[Message], turns: list[Message]) -> list[Message]:
    """Return the turns, preceded by the system prompt from another column unless they begin with their own."""
    return turns if turns and turns[0].role in SYSTEM_ROLES else [*system, *turns]


@dataclass(frozen=True, slots=True)
class Conversation:
    """A row that consists of turns."""

    form: Form
    turns: list[Message]
    tools: list[Mapping[str, Any]] = field(default_factory=list)
    """The tools that the assistant may call, in OpenAI's format: `{"type": "function", "function": {"name": …}}`."""

    @property
    def is_trained(self) -> bool:
        """Whether the model is trained on any turn. Rows without such a turn are skipped."""
        return any(turn.trained and turn.is_answer for turn in self.turns)

    @property
    def is_answered(self) -> bool:
        """Whether any turn of the assistant has text or a tool call."""
        return any(turn.is_answer and not turn.is_blank for turn in self.turns)

    def with_only_the_last_answer_trained(self) -> "Conversation":
        """Return a copy in which the turns before the last user or tool turn are context only."""
        asked = max(
            (place for place, turn in enumerate(self.turns) if turn.role != "assistant"), default=-1
        )
        return replace(
            self,
            turns=[
                turn if place > asked or turn.role != "assistant" else turn._replace(trained=False)
                for place, turn in enumerate(self.turns)
            ],
        )

    def untrained(self) -> "Conversation":
        """Return a copy in which no turn is trained on."""
        return replace(self, turns=[turn._replace(trained=False) for turn in self.turns])


@dataclass(frozen=True, slots=True)
class Document:
    """A row of plain text. The model is trained on every token."""

    text: str
    form: Form = "text"

    @property
    def is_answered(self) -> bool:
        """Always true, because a document has no answers that could be missing."""
        return True

    @property
    def is_trained(self) -> bool:
        """Whether there is any text. Rows without text, which are common in text corpora, are skipped."""
        return bool(self.text.strip())


Parsed = Conversation | Document
