"""Renders conversations as text with the model's own chat template, byte for byte, and locates the answers in it.

For Qwen2's stock template, a copy with marks around the answers is used. For any other template, the answers are
located by rendering the conversation turn by turn (`answers`). If the template marks its answers itself, the marks are
used for conversations with tool calls. A model without a template is trained on plain text.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from typing import Any, Literal

from jinja2 import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from contracts.base import utc_now
from contracts.dataset.conversation import Message
from contracts.dataset.rows import MAX_LINE_BYTES
from contracts.failure import FailureReason
from contracts.model_facts import WRITES_CONTENT_ONLY, TemplateFacts
from worker.training.data.bounds import OutOfBounds
from worker.training.data.rendering.answers import Locator, RenderingFailed, Span, Turns
from worker.training.data.rendering.call_ids import with_short_ids
from worker.training.data.rendering.trial import (
    needs_short_call_ids,
    takes_arguments_as_text,
    try_template,
    writes_calls_without_tools,
)
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
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{message['content'] + '<|im_end|>'}}{% endgeneration %}"
    "{% else %}{{message['content'] + '<|im_end|>'}}{% endif %}"
    "{{'\n'}}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""A template that renders the same text and marks the answers with their end-of-turn tokens."""

_MARKS = re.compile(r"\{%-?\s*generation\s*-?%\}")
_DATE = re.compile(r"""\bstrftime_now\(\s*(["'])(.*?)\1\s*\)""")


@dataclass(frozen=True)
class Rendered:
    """The text of a conversation as the model reads it, and the spans of its answers with their end-of-turn tokens."""

    text: str
    answers: list[Span]


class Template:
    """Renders conversations for one tokenizer. Rendering runs the model's own code, so call it under Bounds."""

    def __init__(self, tokenizer: Any, now: datetime | None = None) -> None:
        """`now`: the date that a template may insert, the same in all attempts of a job. None means today."""
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
    def effective_text(self) -> str | None:
        """The chat template with the date that it inserts; None if transformers chooses among several, or there is none."""
        return self._chat_template

    @property
    def adds_special_tokens(self) -> bool:
        """Whether the tokenizer must add the opening special tokens; a chat template writes them itself."""
        return self.kind == "plain"

    def render(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()
    ) -> Rendered:
        """Return the text of one conversation and the positions of its trained answers. Raises RenderingFailed, TrainingError."""
        if any(turn.tool_calls and turn.trained and not turn.content for turn in messages):
            self._require_tool_calls(are_offered=bool(tools))
        turns = [self._turn(message) for message in messages]
        if any("tool_calls" in turn for turn in turns) and self._needs_short_call_ids:
            turns = with_short_ids(turns)
        trained = [turn.is_answer and turn.trained for turn in messages]
        if self.kind == "plain":
            return self._plain(turns, trained)
        if self.kind == "qwen2":
            return self._marked(turns, trained)
        offered = [dict(tool) for tool in tools]
        if self._has_marks and any(turn.tool_calls for turn in messages):
            found = self._by_its_marks(turns, trained, offered)
            if found is not None:
                return found
        return self._turn_by_turn(turns, trained, offered)

    @cached_property
    def facts(self) -> TemplateFacts:
        """The facts about the template, determined by rendering trial conversations."""
        if self.kind == "plain":
            return WRITES_CONTENT_ONLY
        return try_template(self._apply)

    @cached_property
    def _takes_arguments_as_text(self) -> bool:
        return self.kind == "own" and takes_arguments_as_text(self._apply)

    @cached_property
    def _needs_short_call_ids(self) -> bool:
        return self.kind == "own" and needs_short_call_ids(self._apply)

    @cached_property
    def _has_marks(self) -> bool:
        return self._chat_template is not None and bool(_MARKS.search(self._chat_template))

    @cached_property
    def _knows_developer(self) -> bool:
        return self.kind == "own" and "developer" in str(self._tokenizer.chat_template)

    @cached_property
    def _writes_calls_without_tools(self) -> bool:
        return writes_calls_without_tools(self._apply)

    def _require_tool_calls(self, *, are_offered: bool) -> None:
        is_known = self.facts.tool_calls and (are_offered or self._writes_calls_without_tools)
        if not is_known:
            raise RenderingFailed(
                "the model's chat template does not render tool calls. Use a model whose template does, such as Qwen2.5 or Qwen3, "
                "or remove the rows with tool calls"
            )

    def _turn(self, message: Message) -> dict[str, Any]:
        """Return a turn as templates read it, with optional keys only if they have a value."""
        role = message.role
        if role == "developer" and not self._knows_developer:
            role = "system"
        optional = {
            "name": message.name,
            "tool_call_id": message.tool_call_id,
            "reasoning_content": message.reasoning_content,
            "tool_calls": [
                {
                    **({"id": call.id} if call.id else {}),
                    "type": "function",
                    "function": {"name": call.name, "arguments": self._arguments(call.arguments)},
                }
                for call in message.tool_calls
            ],
        }
        filled = {key: value for key, value in optional.items() if value}
        return {"role": role, "content": message.content, **filled}

    def _arguments(self, arguments: Mapping[str, Any]) -> Any:
        if self._takes_arguments_as_text:
            return json.dumps(arguments, ensure_ascii=False)
        return dict(arguments)

    def is_usable(self) -> bool:
        """Return whether the template renders a simple question and answer. If so, the conversation caused the failure."""
        try:
            self.render([Message(role="user", content="1"), Message(role="assistant", content="2")])
        except (RenderingFailed, TrainingError):
            return False
        return True

    def _marked(self, turns: Turns, trained: list[bool]) -> Rendered:
        texts, spans = render_jinja_template(
            [turns], chat_template=QWEN2_MARKED_TEMPLATE, return_assistant_tokens_mask=True
        )
        marked = [
            is_trained
            for turn, is_trained in zip(turns, trained, strict=True)
            if turn["role"] == "assistant"
        ]
        return Rendered(texts[0], _chosen(spans[0], marked))

    def _by_its_marks(
        self, turns: Turns, trained: list[bool], tools: list[dict[str, Any]]
    ) -> Rendered | None:
        """Return the text and the answers that the template marks; None unless it marks each assistant turn once."""
        try:
            texts, spans = render_jinja_template(
                [turns],
                tools=tools or None,
                chat_template=self._chat_template,
                return_assistant_tokens_mask=True,
                **self._tokenizer.special_tokens_map,
            )
        except (StopRequested, OutOfBounds, MemoryError):
            raise
        except Exception as error:  # the template is the model's own program and may raise anything
            raise _failed(turns, error) from error
        of_assistant = [
            is_trained
            for turn, is_trained in zip(turns, trained, strict=True)
            if turn["role"] == "assistant"
        ]
        if len(spans[0]) != len(of_assistant) or len(texts[0]) > LONGEST_TEXT:
            return None
        return Rendered(texts[0], _chosen(spans[0], of_assistant))

    def _turn_by_turn(
        self, turns: Turns, trained: list[bool], tools: list[dict[str, Any]]
    ) -> Rendered:
        locator = Locator(
            partial(self._apply, tools=tools),
            partial(self._apply_all, tools=tools),
            self._ends,
            self._tokenizer.eos_token,
        )
        text = self._apply(turns, tools)
        places = [place for place, is_trained in enumerate(trained) if is_trained]
        return Rendered(text, locator.locate_all(text, turns, places))

    def _plain(self, turns: Turns, trained: list[bool]) -> Rendered:
        text, answers = "", []
        for turn, is_trained in zip(turns, trained, strict=True):
            start = len(text)
            if turn["role"] == "assistant" and (turn["content"] or "tool_calls" not in turn):
                text += turn["content"] + self._tokenizer.eos_token
                if is_trained:
                    answers.append(Span(start, len(text)))
            else:
                text += turn["content"] + "\n"
        return Rendered(text, answers)

    def _apply(
        self,
        turns: Turns,
        tools: list[dict[str, Any]] | None = None,
        *,
        add_generation_prompt: bool = False,
    ) -> str:
        if (
            not turns
        ):  # a list of conversations may contain an empty one, but templates expect a turn
            raise RenderingFailed("the conversation begins with an answer")
        return self._apply_all([turns], tools, add_generation_prompt=add_generation_prompt)[0]

    def _apply_all(
        self,
        conversations: list[Turns],
        tools: list[dict[str, Any]] | None = None,
        *,
        add_generation_prompt: bool = False,
    ) -> list[str]:
        if not conversations:
            return []
        options: dict[str, Any] = {"tools": tools} if tools else {}
        try:
            texts: list[str] = self._tokenizer.apply_chat_template(
                conversations,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                chat_template=self._chat_template,
                **options,
            )
        except (StopRequested, OutOfBounds, MemoryError):
            raise
        except Exception as error:  # the template is the model's own program and may raise anything
            raise _failed(conversations[-1], error) from error
        if any(len(text) > LONGEST_TEXT for text in texts):
            raise OutOfBounds(f"writes more than {LONGEST_TEXT:,} characters")
        return texts


def _chosen(spans: Sequence[Sequence[int]], trained: Sequence[bool]) -> list[Span]:
    return [Span(*span) for span, is_trained in zip(spans, trained, strict=True) if is_trained]


def _failed(turns: Turns, error: Exception) -> RenderingFailed:
    if isinstance(error, TemplateError):
        return RenderingFailed(
            f"the model's chat template rejects a conversation with the turns {_roles(turns)}: {error}"
        )
    return RenderingFailed(
        f"the model's chat template fails on a conversation with the turns {_roles(turns)}: "
        f"{type(error).__name__}: {error}"
    )


def _roles(turns: Turns) -> str:
    shown = ", ".join(turn["role"] for turn in turns[:SHOWN_ROLES]) or "(none)"
    return f"{shown}, … ({len(turns)} turns)" if len(turns) > SHOWN_ROLES else shown


def _with_date(chat_template: Any, now: datetime) -> str | None:
    """Replace each `strftime_now("…")` with a fixed time, because transformers would use the current time."""
    # A value that is not a string is None, or several named templates, from which transformers chooses.
    if not isinstance(chat_template, str):
        return None
    return _DATE.sub(lambda call: call[1] + now.strftime(call[2]) + call[1], chat_template)
