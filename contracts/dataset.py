"""The shapes of a dataset row, and the one way each becomes a conversation. Used at upload and in training alike.

Three forms, told apart by their keys:
- Alpaca: `{"instruction": …, "input": …, "output": …}`, with optional `system` and `history` ([[user, assistant], …])
- prompt/completion: `{"prompt": …, "completion": …}`, each a string or a list of messages
- chat messages: `{"messages": [{"role": "system" | "user" | "assistant", "content": …}, …]}`
"""

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)

Role = Literal["system", "user", "assistant"]
Text = Annotated[str, StringConstraints(max_length=2_000_000)]
MAX_LINE_BYTES = 4 * 1024 * 1024


class Message(BaseModel):
    """One turn."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    role: Role
    content: Text


class _Row(BaseModel):
    # Unknown columns are ignored here, unlike in a JobSpec: real datasets carry ids, sources and scores.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class AlpacaRow(_Row):
    """`input` may be empty or null; it follows the instruction on a new line."""

    instruction: Text
    input: Text | None = None
    output: Annotated[Text, Field(min_length=1)]
    system: Text | None = None
    history: list[list[Text]] | None = None

    @field_validator("history")
    @classmethod
    def _pairs(cls, value: list[list[str]] | None) -> list[list[str]] | None:
        if any(len(turn) != 2 for turn in value or []):
            raise ValueError("each turn of history must be a pair [user, assistant]")
        return value

    def messages(self) -> list[Message]:
        """Return the row as a conversation."""
        turns = [Message(role="system", content=self.system)] if self.system else []
        for user, assistant in self.history or []:
            turns += [
                Message(role="user", content=user),
                Message(role="assistant", content=assistant),
            ]
        asked = f"{self.instruction}\n{self.input}" if self.input else self.instruction
        return [
            *turns,
            Message(role="user", content=asked),
            Message(role="assistant", content=self.output),
        ]


class PromptRow(_Row):
    """A prompt and its completion, as text or as messages."""

    prompt: Text | list[Message]
    completion: Annotated[Text, Field(min_length=1)] | list[Message]

    def messages(self) -> list[Message]:
        """Return the row as a conversation."""
        asked = (
            [Message(role="user", content=self.prompt)]
            if isinstance(self.prompt, str)
            else self.prompt
        )
        if isinstance(self.completion, str):
            return [*asked, Message(role="assistant", content=self.completion)]
        return [*asked, *self.completion]


class MessagesRow(_Row):
    """A chat of system, user and assistant turns."""

    turns: list[Message] = Field(alias="messages", min_length=1)

    def messages(self) -> list[Message]:
        """Return the row as a conversation."""
        return list(self.turns)


class RowError(ValueError):
    """A row that cannot be trained on. `line` counts from 1; `expected` says what would have been right."""

    def __init__(self, line: int, problem: str, expected: str) -> None:
        super().__init__(f"line {line}: {problem}; expected {expected}")
        self.line = line
        self.problem = problem
        self.expected = expected


EXPECTED = (
    "one of {instruction, output}, {prompt, completion} or {messages: [{role, content}]}, ending with an "
    "answer of the assistant"
)


def parse_row(row: Any, line: int) -> list[Message]:
    """Return the row as a conversation that holds an assistant's answer. Raises RowError."""
    if not isinstance(row, dict):
        raise RowError(line, f"a {_json_type(row)} stands where an object should", EXPECTED)
    shape: type[AlpacaRow | PromptRow | MessagesRow]
    if "messages" in row:
        shape = MessagesRow
    elif "prompt" in row:
        shape = PromptRow
    elif "instruction" in row:
        shape = AlpacaRow
    else:
        keys = ", ".join(sorted(str(key) for key in row)[:8]) or "none"
        raise RowError(line, f"its keys ({keys}) fit no known form", EXPECTED)
    try:
        messages = shape.model_validate(row).messages()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "row"
        raise RowError(line, f"{place}: {first['msg']}", EXPECTED) from error
    if not any(turn.role == "assistant" and turn.content for turn in messages):
        raise RowError(line, "there is no answer of the assistant", EXPECTED)
    if any(turn.role == "system" for turn in messages[1:]):
        raise RowError(line, "a system turn stands after the first turn", EXPECTED)
    return messages


def read_jsonl(lines: Iterable[bytes]) -> Iterator[tuple[int, Any]]:
    """Yield (line number from 1, value) of each line that is not blank. Raises RowError."""
    for number, line in enumerate(lines, start=1):
        if len(line) > MAX_LINE_BYTES:
            raise RowError(number, f"it has more than {MAX_LINE_BYTES} bytes", "a shorter row")
        if line.strip():
            yield number, parse_json(line, number)


def parse_json(text: bytes, line: int) -> Any:
    """Parse one JSON value. Raises RowError, also for the inputs on which the parser itself gives up."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RowError(
            line, f"it is not JSON ({error or type(error).__name__})", "one JSON value"
        ) from error


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    return {bool: "boolean", int: "number", float: "number", str: "string", list: "list"}.get(
        type(value), "value"
    )
