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
MOST_AHEAD = 2_000_000
"""All prefixes of a conversation are rendered in one call if its characters times its answers do not exceed this number."""


class Span(NamedTuple):
    """Characters from `start` up to but excluding `end`."""

    start: int
    end: int


class Ahead(NamedTuple):
    """Rendered prefixes of a conversation, keyed by the index of the answer that they help to locate."""

    before: dict[int, str]
    """The turns before the answer, with the generation prompt."""
    through: dict[int, str]
    """The turns up to the answer."""
    other: dict[int, str]
    """The same, but with different arguments in the answer's last tool call."""


class RenderingFailed(Exception):
    """The template cannot render this conversation; the message gives the reason."""


@dataclass(frozen=True)
class Locator:
    """Locates the answers of one conversation."""

    apply: Callable[..., str]
    """Renders turns: `apply(turns, add_generation_prompt=False)`. Raises RenderingFailed."""
    apply_all: Callable[..., list[str]]
    """Renders several conversations at once, which is faster: the tools that they share are prepared once."""
    ends: Sequence[str]
    """The special tokens, longest first; an answer ends with one of them."""
    end_of_text: str | None = None

    def locate_all(self, text: str, turns: Turns, places: Sequence[int]) -> list[Span]:
        """Return the spans of the answers of these turns in the whole text, each including its end-of-turn token.

        The span of an empty answer is empty if the template writes no token after it, or if its place is unclear.
        """
        ahead = self._render_ahead(text, turns, places)
        return [self._locate_any(text, turns, place, ahead) for place in places]

    def _locate_any(self, text: str, turns: Turns, place: int, ahead: Ahead) -> Span:
        content, calls = turns[place]["content"], turns[place].get("tool_calls")
        try:
            span = self._locate(text, turns, place, ahead)
        except (RenderingFailed, TrainingError):
            if content or calls:
                raise
            return Span(0, 0)
        if (
            content.strip()
            or calls
            or not self._is_in_next_turn(span.end, text, turns, place, ahead)
        ):
            return span
        return Span(0, 0)

    def _is_in_next_turn(self, end: int, text: str, turns: Turns, place: int, ahead: Ahead) -> bool:
        """Return whether the token found after an empty answer begins the next turn, because the template ends turns without one."""
        through = ahead.through.get(place)
        try:
            through = self.apply(turns[: place + 1]) if through is None else through
        except RenderingFailed:
            return False
        return text.startswith(through) and end > len(through)

    def _render_ahead(self, text: str, turns: Turns, places: Sequence[int]) -> Ahead:
        """Return the texts that are usually needed to locate these answers; fewer if they are long or one fails to render."""
        ahead = Ahead({}, {}, {})
        if places and places[-1] == len(turns) - 1:
            ahead.through[places[-1]] = text
        if len(places) * len(text) > MOST_AHEAD:
            return ahead
        prompted = [place for place in places if place > 0]
        shorter = [place for place in places if place not in ahead.through]
        calling = [place for place in places if turns[place].get("tool_calls")]
        try:
            before = self.apply_all(
                [turns[:place] for place in prompted], add_generation_prompt=True
            )
            others = self.apply_all(
                [
                    *(turns[: place + 1] for place in shorter),
                    *(_with_other_arguments(turns[: place + 1], place) for place in calling),
                ]
            )
        except (
            RenderingFailed
        ):  # one of them failed; the texts are rendered one by one when they are needed
            return ahead
        ahead.before.update(zip(prompted, before, strict=True))
        ahead.through.update(zip(shorter, others, strict=False))
        ahead.other.update(zip(calling, others[len(shorter) :], strict=True))
        return ahead

    def _locate(self, text: str, turns: Turns, place: int, ahead: Ahead) -> Span:
        turn = turns[place]
        before, through = ahead.before.get(place), ahead.through.get(place)
        try:
            if before is None:
                before = self.apply(turns[:place], add_generation_prompt=True)
            if through is None:
                through = self.apply(turns[: place + 1])
        except RenderingFailed:  # the template requires another turn before or after this one
            return self._locate_by_comparison(text, turns, place, None)
        end = (
            self._end_of_calls(through, turns[: place + 1], place, ahead.other.get(place))
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
        if not content and not has_calls:
            first = self._start_of_nothing(text, turns, place)
        end = (
            self._end_of_calls(text, turns, place)
            if has_calls
            else self._end_of_answer(text, first or 0, content, is_last=place + 1 == len(turns))
        )
        if before is not None and text.startswith(before) and len(before) <= (first or end):
            return Span(len(before), end)
        return Span(self._start_of_nothing(text, turns, place) if first is None else first, end)

    def _start_of_content(self, text: str, turns: Turns, place: int) -> int:
        """Return the first position where the text changes if the answer begins with a different character."""
        content = turns[place]["content"]
        other = next(c for c in "abc" if c not in (content[0], content.strip()[:1]))
        start = _common_start(text, self.apply(_changed(turns, place, content=other)))
        if not text.startswith((content, content.strip()), start):
            raise RenderingFailed(
                f"the model's chat template does not render the answer of turn {place + 1} unchanged"
            )
        return start

    def _start_of_nothing(self, text: str, turns: Turns, place: int) -> int:
        """Return where an answer without content begins: at the first difference between two answers with content."""
        one, other = (self.apply(_changed(turns, place, content=content)) for content in "ab")
        differs = _common_start(one, other)
        start = _common_start(text, one[:differs])
        if one[start:differs].strip():
            raise RenderingFailed(
                f"the model's chat template renders turn {place + 1} differently without content"
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

    def _end_of_calls(self, text: str, turns: Turns, place: int, other: str | None = None) -> int:
        """Return the end of the end-of-turn token after the tool calls, or of their line if the template has none.

        `other`: the text with different arguments in the last call, if known.
        """
        if other is None:
            other = self.apply(_with_other_arguments(turns, place))
        if other == text:
            raise RenderingFailed(
                f"the model's chat template does not render the tool calls of turn {place + 1}"
            )
        after = len(text) - _common_start(text[::-1], other[::-1])
        found = [(text.find(token, after), -len(token)) for token in self.ends if token]
        position, length = min((each for each in found if each[0] >= 0), default=(-1, 0))
        if position >= 0:
            return self._end_of_tokens(text, position - length)
        line_end = text.find("\n", after)
        return len(text.rstrip()) if line_end < 0 else line_end

    def _end_of_tokens(self, text: str, end: int) -> int:
        """Return the end of the end-of-text token if only special tokens precede it, otherwise `end`."""
        place = end
        while token := next(
            (each for each in self.ends if each and text.startswith(each, place)), None
        ):
            place += len(token)
            if token == self.end_of_text:
                return place
        return end


def _with_other_arguments(turns: Turns, place: int) -> Turns:
    """Return the turns with different arguments in the last call of one turn."""
    calls = turns[place]["tool_calls"]
    arguments: Any = OTHER_ARGUMENTS
    if isinstance(calls[-1]["function"]["arguments"], str):
        arguments = json.dumps(arguments)
    function = calls[-1]["function"] | {"arguments": arguments}
    return _changed(turns, place, tool_calls=[*calls[:-1], calls[-1] | {"function": function}])


def _changed(turns: Turns, place: int, **fields: Any) -> Turns:
    return [*turns[:place], turns[place] | fields, *turns[place + 1 :]]


def _common_start(one: str, other: str) -> int:
    return len(os.path.commonprefix([one, other]))  # noqa: RUF071  # compares characters, not path components
