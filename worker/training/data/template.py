"""Renders conversations as text with the model's own chat template, byte for byte, and locates the answers in it.

For Qwen2's stock template, a copy with marks around the answers is used. For any other template, the answers are
located by rendering the conversation turn by turn. A model without a template is trained on plain text.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from jinja2 import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from contracts.base import utc_now
from contracts.dataset.rows import MAX_LINE_BYTES, Message
from contracts.failure import FailureReason
from worker.training.data.bounds import OutOfBounds
from worker.training.errors import StopRequested, TrainingError

LONGEST_TEXT = 2 * MAX_LINE_BYTES
"""Maximum characters of a rendered row: twice the longest row, because a template adds a few words to each turn."""
SHOWN_ROLES = 8
QWEN2_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}"
    "{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""The chat template shipped with the Qwen2 instruct models."""

QWEN2_MARKED_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}"
    "{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n'}}"
    "{% if message['role'] == 'assistant' and message['content'] %}"
    "{% generation %}{{message['content'] + '<|im_end|>'}}{% endgeneration %}"
    "{% else %}{{message['content'] + '<|im_end|>'}}{% endif %}"
    "{{'\n'}}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""A template that writes the same text and marks the answers and their end-of-turn tokens; empty answers are not trained on."""

_DATE = re.compile(r"""\bstrftime_now\(\s*(["'])(.*?)\1\s*\)""")


class Span(NamedTuple):
    """Characters from `start` up to but excluding `end`."""

    start: int
    end: int


@dataclass(frozen=True)
class Rendered:
    """The text of a conversation as the model reads it, and where its answers are, including their end-of-turn tokens."""

    text: str
    answers: list[Span]


class RenderingFailed(Exception):
    """The template cannot render this conversation; the message gives the reason."""


class Template:
    """Renders conversations for one tokenizer. Rendering runs the model's own code, so call it under Bounds."""

    def __init__(self, tokenizer: Any, now: datetime | None = None) -> None:
        """`now` is the date that a template may write into the text. All attempts of a job pass the same one. None means today."""
        self._tokenizer = tokenizer
        self._chat_template = _with_date(tokenizer.chat_template, now or utc_now())
        self.kind: Literal["qwen2", "own", "plain"] = "own"
        if not tokenizer.chat_template:
            self.kind = "plain"
        elif tokenizer.chat_template == QWEN2_TEMPLATE:
            self.kind = "qwen2"
        if self.kind == "plain" and tokenizer.eos_token is None:
            raise TrainingError(
                FailureReason.MODEL_REFUSED,
                "the tokenizer has neither a chat template nor an end-of-text token",
            )
        # In transformers 5, all_special_tokens contains only tokens with a role, such as eos_token.
        special = {t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
        self._ends = sorted(special.union(tokenizer.all_special_tokens), key=len, reverse=True)

    @property
    def reason(self) -> str:
        """Why this way of rendering was chosen, for the summary."""
        return {
            "qwen2": "Qwen2's stock template, with the answers marked",
            "own": "the model's own chat template; answers are located turn by turn",
            "plain": "the model has no chat template: each turn is on its own line, and answers end "
            "with the end-of-text token",
        }[self.kind]

    @property
    def adds_special_tokens(self) -> bool:
        """Whether the tokenizer must add the opening special tokens; a chat template writes them itself."""
        return self.kind == "plain"

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Return the text of one conversation and the positions of its answers. Raises RenderingFailed, TrainingError."""
        turns = [{"role": turn.role, "content": turn.content} for turn in messages]
        if self.kind == "plain":
            return self._plain(turns)
        return self._marked(turns) if self.kind == "qwen2" else self._turn_by_turn(turns)

    def is_usable(self) -> bool:
        """Return whether the template renders a simple question and answer. If so, the conversation caused the failure."""
        try:
            self.render([Message(role="user", content="1"), Message(role="assistant", content="2")])
        except (RenderingFailed, TrainingError):
            return False
        return True

    def _marked(self, turns: list[dict[str, str]]) -> Rendered:
        texts, spans = render_jinja_template(
            [turns], chat_template=QWEN2_MARKED_TEMPLATE, return_assistant_tokens_mask=True
        )
        return Rendered(texts[0], [Span(start, end) for start, end in spans[0]])

    def _turn_by_turn(self, turns: list[dict[str, str]]) -> Rendered:
        text = self._apply(turns)
        answers = [
            self._answer(text, turns, place)
            for place, turn in enumerate(turns)
            if turn["role"] == "assistant" and turn["content"]
        ]
        return Rendered(text, answers)

    def _answer(self, text: str, turns: list[dict[str, str]], place: int) -> Span:
        """Return the span of turn `place`'s answer in the whole text."""
        content = turns[place]["content"]
        try:
            before = self._apply(turns[:place], add_generation_prompt=True)
            through = self._apply(turns[: place + 1])
        except RenderingFailed:  # the template requires another turn before or after this one
            start = self._start_by_comparison(text, turns, place)
            return Span(start, self._end_of_answer(text, start, content))
        end = self._end_of_answer(through, len(before), content)
        if not (through.startswith(before) and text.startswith(through[:end])):
            raise TrainingError(
                FailureReason.MODEL_REFUSED,
                "the model's chat template renders a turn differently once other turns follow, so the "
                "training text would differ from what the model sees at inference. Put a template "
                "that renders each turn independently into the model directory",
            )
        return Span(len(before), end)

    def _start_by_comparison(self, text: str, turns: list[dict[str, str]], place: int) -> int:
        """Return the first position where the text differs if the answer begins with another character."""
        content = turns[place]["content"]
        other = next(c for c in "abc" if c not in (content[0], content.strip()[:1]))
        changed = [*turns[:place], turns[place] | {"content": other}, *turns[place + 1 :]]
        start = len(os.path.commonprefix([text, self._apply(changed)]))  # noqa: RUF071  # compares characters, not path components
        if not text.startswith((content, content.strip()), start):
            raise RenderingFailed(
                f"the model's chat template does not write the answer of turn {place + 1} unchanged"
            )
        return start

    def _end_of_answer(self, through: str, start: int, content: str) -> int:
        """Return the end of the answer's end-of-turn token, or of the answer if the template has none."""
        after = through.find(content.strip(), start)
        after = start if after < 0 else after + len(content.strip())
        rest = through[after:]
        gap = len(rest) - len(rest.lstrip())
        for token in self._ends:
            if rest.startswith(token, gap):
                return after + gap + len(token)
        return start + len(through[start:].rstrip())

    def _plain(self, turns: list[dict[str, str]]) -> Rendered:
        text, answers = "", []
        for turn in turns:
            start = len(text)
            if turn["role"] == "assistant" and turn["content"]:
                text += turn["content"] + self._tokenizer.eos_token
                answers.append(Span(start, len(text)))
            else:
                text += turn["content"] + "\n"
        return Rendered(text, answers)

    def _apply(self, turns: list[dict[str, str]], *, add_generation_prompt: bool = False) -> str:
        try:
            text: str = self._tokenizer.apply_chat_template(
                turns,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                chat_template=self._chat_template,
            )
        except (StopRequested, OutOfBounds, MemoryError):
            raise
        except TemplateError as error:
            raise RenderingFailed(
                f"the model's chat template rejects a conversation with the turns {_roles(turns)}: {error}"
            ) from error
        except Exception as error:  # the template is the model's own program and may raise anything
            raise RenderingFailed(
                f"the model's chat template fails on a conversation with the turns {_roles(turns)}: "
                f"{type(error).__name__}: {error}"
            ) from error
        if len(text) > LONGEST_TEXT:
            raise OutOfBounds(f"writes more than {LONGEST_TEXT:,} characters")
        return text


def _roles(turns: list[dict[str, str]]) -> str:
    shown = ", ".join(turn["role"] for turn in turns[:SHOWN_ROLES]) or "(none)"
    return f"{shown}, … ({len(turns)} turns)" if len(turns) > SHOWN_ROLES else shown


def _with_date(chat_template: Any, now: datetime) -> str | None:
    """Replace each `strftime_now("…")` with a fixed time, because transformers would use the current time."""
    # If it is not a string, there is no template, or there are several named ones, from which transformers chooses.
    if not isinstance(chat_template, str):
        return None
    return _DATE.sub(lambda call: call[1] + now.strftime(call[2]) + call[1], chat_template)
