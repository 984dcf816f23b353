"""The formats of a dataset row, and how each is converted to a conversation. Both upload and training use this module.

The keys of a row determine its format:
- Alpaca: `{"instruction": …, "input": …, "output": …}`, with optional `system` and `history` ([[user, assistant], …])
- prompt/completion: `{"prompt": …, "completion": …}`, each a string or a list of messages
- chat messages: `{"messages": [{"role": "system" | "user" | "assistant", "content": …}, …]}`
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from json import JSONDecodeError
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
)

from contracts.dataset.row_error import RowError, RowProblem, kind_of
from contracts.nesting import MAX_DEPTH, TooDeep, loads

Role = Literal["system", "user", "assistant"]
MAX_CHARACTERS = 2_000_000
Text = Annotated[str, StringConstraints(max_length=MAX_CHARACTERS)]
MAX_LINE_BYTES = 4 * 1024 * 1024
PREFERENCE_COLUMNS = ("rejected", "rejected_response", "rejected_messages", "non_preferred_output")
"""Columns that hold an answer that must not be trained on."""


class Message(BaseModel):
    """One turn."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    role: Role
    content: Text


class _Row(BaseModel):
    # Unknown columns are ignored here, unlike in a JobSpec: real datasets contain ids, sources and scores.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class AlpacaRow(_Row):
    """`input` may be empty or null; otherwise it is appended to the instruction on a new line."""

    instruction: Text
    input: Text | None = None
    output: Annotated[Text, Field(min_length=1)]
    system: Text | None = None
    history: list[Annotated[list[Text], Field(min_length=2, max_length=2)]] | None = None

    def messages(self) -> list[Message]:
        """Return the row as a conversation."""
        turns = [Message(role="system", content=self.system)] if self.system else []
        for user, assistant in self.history or []:
            turns += [
                Message(role="user", content=user),
                Message(role="assistant", content=assistant),
            ]
        question = f"{self.instruction}\n{self.input}" if self.input else self.instruction
        return [
            *turns,
            Message(role="user", content=question),
            Message(role="assistant", content=self.output),
        ]


def _text_or_turns(value: object) -> str:
    return "(turns)" if isinstance(value, list) else "(text)"


class PromptRow(_Row):
    """A prompt and its completion, as text or as messages."""

    # A tag selects the union member to validate against, so that each problem yields one error, not one per member.
    prompt: Annotated[
        Annotated[Text, Tag("(text)")] | Annotated[list[Message], Tag("(turns)")],
        Discriminator(_text_or_turns),
    ]
    completion: Annotated[
        Annotated[Text, Field(min_length=1), Tag("(text)")]
        | Annotated[list[Message], Tag("(turns)")],
        Discriminator(_text_or_turns),
    ]

    def messages(self) -> list[Message]:
        """Return the row as a conversation."""
        prompt = (
            [Message(role="user", content=self.prompt)]
            if isinstance(self.prompt, str)
            else self.prompt
        )
        if isinstance(self.completion, str):
            return [*prompt, Message(role="assistant", content=self.completion)]
        return [*prompt, *self.completion]


class MessagesRow(_Row):
    """A chat of system, user and assistant turns."""

    turns: list[Message] = Field(alias="messages", min_length=1)

    def messages(self) -> list[Message]:
        """Return the row as a conversation."""
        return list(self.turns)


def parse_row(row: Any, line: int) -> list[Message]:
    """Return the row as a conversation with at least one assistant answer. Raises RowError."""
    if not isinstance(row, dict):
        raise RowError(line, RowProblem.NOT_AN_OBJECT, found=kind_of(row))
    _reject_choices(row, line)
    shape: type[AlpacaRow | PromptRow | MessagesRow]
    if "messages" in row:
        shape = MessagesRow
    elif "prompt" in row:
        shape = PromptRow
    elif "instruction" in row:
        shape = AlpacaRow
    else:
        keys = ", ".join(sorted(str(key)[:100] for key in row)[:8]) or "none"
        # A key may contain an unpaired surrogate.
        shown = keys.encode(errors="backslashreplace").decode()
        raise RowError(line, RowProblem.UNKNOWN_FORM, keys=shown)
    try:
        messages = shape.model_validate(row).messages()
    except ValidationError as error:
        raise _row_error(line, error.errors(include_url=False)[0]) from error
    if not any(turn.role == "assistant" and turn.content for turn in messages):
        raise RowError(line, RowProblem.NO_ANSWER)
    if any(turn.role == "system" for turn in messages[1:]):
        raise RowError(line, RowProblem.LATE_SYSTEM)
    return messages


def read_jsonl(lines: Iterable[bytes]) -> Iterator[tuple[int, Any]]:
    """Yield (line number from 1, value) for each line that is not blank. Raises RowError."""
    for number, line in enumerate(lines, start=1):
        if len(line) > MAX_LINE_BYTES:
            raise RowError(number, RowProblem.TOO_MANY_BYTES, limit=MAX_LINE_BYTES)
        if line.strip():
            yield number, parse_json(line, number)


def parse_json(text: str | bytes, line: int) -> Any:
    """Parse one JSON value. Raises RowError, including for input that exceeds the parser's own limits."""
    try:
        return loads(text)
    except ValueError as error:
        raise json_error(line, error) from error


def json_error(line: int, error: ValueError) -> RowError:
    """Return the error for a row that is not JSON or is nested too deeply."""
    if isinstance(error, TooDeep):
        return RowError(line, RowProblem.TOO_DEEP, limit=MAX_DEPTH)
    reason = error.msg if isinstance(error, JSONDecodeError) else type(error).__name__
    return RowError(line, RowProblem.NOT_JSON, said=reason)


def _reject_choices(row: Mapping[Any, Any], line: int) -> None:
    """Reject rows that mark some answers as worse than others: otherwise all answers would be trained on."""
    for column in PREFERENCE_COLUMNS:
        # A table merged from several sources has all their columns, null or empty where a row has no value.
        if row.get(column) not in (None, "", []):
            raise RowError(line, RowProblem.PREFERENCE, column=column)
    label = row.get("label")
    # A string or number is a class label and does not rate the answer.
    if isinstance(label, bool):
        raise RowError(line, RowProblem.BOOLEAN_LABEL, value=str(label).lower())
    for column in ("messages", "prompt", "completion"):
        turns = row.get(column)
        if not isinstance(turns, list):
            continue
        for place, turn in enumerate(turns):
            if isinstance(turn, dict) and turn.get("weight") is not None:
                raise RowError(line, RowProblem.TURN_WEIGHT, place=f"{column}[{place}].weight")


def _row_error(line: int, error: Mapping[str, Any]) -> RowError:
    """Turn a pydantic error into a RowError."""
    location, found = error["loc"], error["input"]
    problem, figures = RowProblem.UNUSABLE, dict[str, str | int]()
    match error["type"]:
        case "missing":
            problem = RowProblem.MISSING
        case "too_short" | "too_long" if location[0] == "history":
            problem = RowProblem.NO_PAIR
        case "too_short" | "string_too_short":
            problem = RowProblem.EMPTY
        case "string_too_long":
            problem, figures = RowProblem.TOO_LONG, {"limit": MAX_CHARACTERS}
        case "string_unicode":
            problem = RowProblem.NOT_UNICODE
        case "literal_error":
            role = repr(found[:40]) if isinstance(found, str) else kind_of(found)
            problem, figures = RowProblem.UNKNOWN_ROLE, {"found": role}
        case "string_type" | "list_type" | "model_type" as kind:
            expected = _expected(kind, location)
            problem = RowProblem.WRONG_TYPE
            figures = {"found": kind_of(found), "expected": expected}
    return RowError(line, problem, place=_place(location), **figures)


def _place(location: Sequence[str | int]) -> str:
    """Return a readable path in a row, such as messages[2].content. Parts in parentheses are union tags and are skipped."""
    place = ""
    for part in location:
        if isinstance(part, int):
            place += f"[{part}]"
        elif not part.startswith("("):
            place += f".{part}" if place else part
    return place or "row"


def _expected(kind: str, location: Sequence[str | int]) -> str:
    if kind == "model_type":
        return "message"
    if kind == "list_type":
        return {"messages": "messages", "history": "pairs"}.get(str(location[-1]), "list")
    if location[-1] == "(text)":
        return "string_or_messages"
    return "string_or_null" if location in (("input",), ("system",)) else "string"
