"""Locates the answers in the output of any chat template.

The answer of a turn begins at the end of the text of all earlier turns and the generation prompt. If the template
renders earlier turns differently from the last one (Qwen3 omits their reasoning), the answer is located by comparing
the text with that of a conversation with a different answer.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from contracts.failure import FailureReason
from worker.training.errors import TrainingError

Turns = list[dict[str, Any]]
"""Turns in the format that a chat template expects."""
OTHER_ARGUMENTS = {"other": "stepline"}


class Span(NamedTuple):
    """Characters from `start` up to but excluding `end`."""

    start: int
    end: int


class RenderingFailed(Exception):
    """The template cannot render this conversation; the message gives the reason."""


@dataclass(frozen=True)
class Locator:
    """Locates the answers of one conversation."""

    apply: Callable[..., str]
    """Renders turns: `apply(turns, add_generation_prompt=False)`. Raises RenderingFailed."""
    ends: Sequence[str]
    """The special tokens, longest first; an answer ends with one of them."""
    end_of_text: str | None = None

    def locate(self, text: str, turns: Turns, place: int) -> Span:
        """Return the span of turn `place`'s answer in the whole text, including its end-of-turn token."""
        turn = turns[place]
        try:
            before = self.apply(turns[:place], add_generation_prompt=True)
            through = self.apply(turns[: place + 1])
        except RenderingFailed:  # the template requires another turn before or after this one
            return self._locate_by_comparison(text, turns, place, None)
        end = (
            self._end_of_calls(through, turns[: place + 1], place)
            if turn.get("tool_calls")
            else self._end_of_answer(through, len(before), turn["content"])
        )
        if through.startswith(before) and text.startswith(through[:end]):
            return Span(len(before), end)
        try:
            return self._locate_by_comparison(text, turns, place, before)
        except RenderingFailed as error:
            raise TrainingError(
                FailureReason.MODEL_REFUSED,
                "the model's chat template renders a turn differently once other turns follow, so the "
                "training text would differ from what the model sees at inference. Put a template "
                "that renders each turn independently into the model directory",
            ) from error

    def _locate_by_comparison(
        self, text: str, turns: Turns, place: int, before: str | None
    ) -> Span:
        """Return the span, determined from the whole text alone. `before` is the text before the answer, if known."""
        content = turns[place]["content"]
        has_calls = bool(turns[place].get("tool_calls"))
        first = self._start_of_content(text, turns, place) if content else None
        end = (
            self._end_of_calls(text, turns, place)
            if has_calls
            else self._end_of_answer(text, first or 0, content, is_last=place + 1 == len(turns))
        )
        if before is not None and text.startswith(before) and len(before) <= (first or end):
            return Span(len(before), end)
        return Span(self._start_of_calls(text, turns, place) if first is None else first, end)

    def _start_of_content(self, text: str, turns: Turns, place: int) -> int:
        """Return the first position where the text changes if the answer begins with a different character."""
        content = turns[place]["content"]
        other = next(c for c in "abc" if c not in (content[0], content.strip()[:1]))
        start = _common_start(text, self.apply(_changed(turns, place, content=other)))
        if not text.startswith((content, content.strip()), start):
            raise RenderingFailed(
                f"the model's chat template does not write the answer of turn {place + 1} unchanged"
            )
        return start

    def _start_of_calls(self, text: str, turns: Turns, place: int) -> int:
        """Return where an answer without content begins: at the first difference between two answers with content."""
        one, other = (self.apply(_changed(turns, place, content=content)) for content in "ab")
        differs = _common_start(one, other)
        start = _common_start(text, one[:differs])
        if one[start:differs].strip():
            raise RenderingFailed(
                f"the model's chat template writes the tool calls of turn {place + 1} differently without content"
            )
        return start

    def _end_of_answer(
        self, through: str, start: int, content: str, *, is_last: bool = True
    ) -> int:
        """Return the end of the answer's end-of-turn token, or of the answer if the template has none.

        `is_last`: whether `through` ends with this turn. If not, the text after the answer may belong to the next turn.
        """
        after = through.find(content.strip(), start)
        after = start if after < 0 else after + len(content.strip())
        rest = through[after:]
        gap = len(rest) - len(rest.lstrip())
        for token in self.ends:
            if rest.startswith(token, gap):
                return after + gap + len(token)
        return start + len(through[start:].rstrip()) if is_last else after

    def _end_of_calls(self, text: str, turns: Turns, place: int) -> int:
        """Return the end of the end-of-turn token after the tool calls, or of their line if the template has none."""
        calls = turns[place]["tool_calls"]
        arguments: Any = OTHER_ARGUMENTS
        if isinstance(calls[-1]["function"]["arguments"], str):
            arguments = json.dumps(arguments)
        function = calls[-1]["function"] | {"arguments": arguments}
        other = self.apply(
            _changed(turns, place, tool_calls=[*calls[:-1], calls[-1] | {"function": function}])
        )
        if other == text:
            raise RenderingFailed(
                f"the model's chat template does not write the tool calls of turn {place + 1}"
            )
        after = len(text) - _common_start(text[::-1], other[::-1])
        found = [(text.find(token, after), -len(token)) for token in self.ends if token]
        position, length = min((each for each in found if each[0] >= 0), default=(-1, 0))
        if position >= 0:
            return self._end_of_tokens(text, position - length)
        line_end = text.find("\n", after)
        return len(text.rstrip()) if line_end < 0 else line_end

    def _end_of_tokens(self, text: str, end: int) -> int:
        """Return the end of the end-of-text token if it follows after other special tokens only, otherwise `end`."""
        place = end
        while token := next(
            (each for each in self.ends if each and text.startswith(each, place)), None
        ):
            place += len(token)
            if token == self.end_of_text:
                return place
        return end


def _changed(turns: Turns, place: int, **fields: Any) -> Turns:
    return [*turns[:place], turns[place] | fields, *turns[place + 1 :]]


def _common_start(one: str, other: str) -> int:
    return len(os.path.commonprefix([one, other]))  # noqa: RUF071  # compares characters, not path components
