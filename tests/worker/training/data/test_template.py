import itertools
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from transformers import AddedToken

from contracts.dataset.conversation import Message
from contracts.failure import FailureReason
from tests.chat_templates import QWEN3_LIKE, QWEN25_LIKE
from tests.tiny_model import make_tokenizer
from worker.training.data.rendering.answers import RenderingFailed
from worker.training.data.rendering.template import QWEN2_TEMPLATE, Rendered, Template
from worker.training.errors import TrainingError
from worker.training.model.tokenizer import load_tokenizer

TEXTS = [
    "Hello",
    "你好，世界 🙂",
    "\n\nleading",
    "trailing \n",
    "a <|im_end|> inside",
    "x",
    "{{ y }}",
]


class OtherTokenizer:
    """The tiny tokenizer with a different chat template."""

    def __init__(self, tokenizer: Any, chat_template: str | None) -> None:
        self._tokenizer = tokenizer
        self.chat_template = chat_template
        self.eos_token = tokenizer.eos_token
        self.all_special_tokens = tokenizer.all_special_tokens
        self.added_tokens_decoder = tokenizer.added_tokens_decoder
        self.special_tokens_map = tokenizer.special_tokens_map

    def apply_chat_template(self, turns: Any, **options: Any) -> Any:
        return self._tokenizer.apply_chat_template(turns, **options)


def dialogs() -> list[list[Message]]:
    """Return 200 dialogs of one to four exchanges, some with a system turn and some with empty turns."""
    texts = itertools.cycle([*TEXTS, ""])
    out = []
    for number in range(200):
        turns = [Message(role="system", content=next(texts))] if number % 3 == 0 else []
        for _ in range(number % 4 + 1):
            turns.append(Message(role="user", content=next(texts)))
            turns.append(Message(role="assistant", content=next(texts)))
        out.append(turns)
    return out


def answers(rendered: Rendered) -> list[str]:
    return [rendered.text[start:end] for start, end in rendered.answers]


def expected_answers(turns: list[Message]) -> list[str]:
    return [t.content + "<|im_end|>" for t in turns if t.role == "assistant"]


def test_the_marked_template_renders_the_same_text_as_the_stock_template(
    tokenizer: Any,
) -> None:
    template = Template(tokenizer)

    for turns in dialogs():
        stock = tokenizer.apply_chat_template(
            [{"role": t.role, "content": t.content} for t in turns], tokenize=False
        )
        assert template.render(turns).text == stock


def test_each_answer_is_marked_with_its_end_of_turn_token_even_if_it_is_empty(
    tokenizer: Any,
) -> None:
    template = Template(tokenizer)
    assert template.kind == "qwen2"

    for turns in dialogs():
        assert answers(template.render(turns)) == expected_answers(turns)


def test_answers_in_a_different_template_are_marked_turn_by_turn(tokenizer: Any) -> None:
    other = QWEN2_TEMPLATE.replace("You are a helpful assistant.", "You are someone else.")
    template = Template(OtherTokenizer(tokenizer, other))
    assert template.kind == "own"

    for turns in dialogs():
        rendered = template.render(turns)
        assert "You are someone else." in rendered.text or turns[0].role == "system"
        assert answers(rendered) == expected_answers(turns)


def test_a_template_that_writes_the_date_gets_the_jobs_date(tokenizer: Any) -> None:
    dated = "{{ strftime_now('%d %b %Y') + '\n' }}" + QWEN2_TEMPLATE
    template = Template(OtherTokenizer(tokenizer, dated), datetime(2024, 7, 26, tzinfo=UTC))

    rendered = template.render(
        [Message(role="user", content="hi"), Message(role="assistant", content="Hello")]
    )

    assert rendered.text.startswith("26 Jul 2024\n<|im_start|>")
    assert answers(rendered) == ["Hello<|im_end|>"]


def test_only_the_answer_is_trained_if_the_template_has_no_end_of_turn_token(
    tokenizer: Any,
) -> None:
    bare = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    template = Template(OtherTokenizer(tokenizer, bare))

    rendered = template.render(
        [Message(role="user", content="hi"), Message(role="assistant", content="Hello")]
    )

    assert answers(rendered) == ["Hello"]


def test_added_special_tokens_are_recognised_as_end_of_turn_tokens(tmp_path: Path) -> None:
    written = make_tokenizer(["one two"], vocabulary=300)
    roles = ["<|user|>", "<|assistant|>", "<|end|>"]
    written.add_tokens([AddedToken(token, special=True) for token in roles], special_tokens=False)
    written.eos_token = "<|endoftext|>"
    written.chat_template = (  # like Phi-3's
        "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
    )
    written.save_pretrained(tmp_path)
    template = Template(load_tokenizer(tmp_path))
    turns = [Message(role=role, content="Hello") for role in ("user", "assistant") * 2]

    assert answers(template.render(turns[:2])) == ["Hello<|end|>"]
    assert answers(template.render(turns)) == ["Hello<|end|>"] * 2


@pytest.mark.parametrize(
    ("chat_template", "expected"),
    [
        (None, ["<|im_end|>", "Hello<|im_end|>", "<|im_end|>"]),
        (QWEN25_LIKE, ["<|im_end|>", "Hello<|im_end|>", "<|im_end|>"]),
        (QWEN3_LIKE, ["<|im_end|>", "Hello<|im_end|>", "<think>\n\n</think>\n\n<|im_end|>"]),
        ("{% for m in messages %}{{ m['content'] + '\n' }}{% endfor %}", ["", "Hello", ""]),
    ],
)
def test_an_empty_answer_is_trained_on_its_end_of_turn_token_if_the_template_writes_one(
    tokenizer: Any, chat_template: str | None, expected: list[str]
) -> None:
    template = Template(OtherTokenizer(tokenizer, chat_template))
    turns = [Message(role=role, content="hi") for role in ("user", "assistant") * 3]
    for place, content in ((1, ""), (3, "Hello"), (5, "")):
        turns[place] = turns[place]._replace(content=content)

    assert answers(template.render(turns)) == expected


@pytest.mark.parametrize("content", ["", " \n"])
def test_an_empty_first_answer_does_not_get_the_token_that_begins_the_next_turn(
    tokenizer: Any, content: str
) -> None:
    without_end = (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    template = Template(OtherTokenizer(tokenizer, without_end))
    turns = [
        Message("assistant", content),
        Message("user", "hi"),
        Message("assistant", "hi"),
    ]

    assert answers(template.render(turns)) == ["", "hi"]


def test_a_template_that_rewrites_earlier_turns_is_rejected(tokenizer: Any) -> None:
    forgetful = (
        "{% for m in messages %}<|im_start|>{{ m['role'] + '\n' }}"
        "{{ m['content'] if loop.last or m['role'] == 'user' else '...' }}<|im_end|>{{ '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    template = Template(OtherTokenizer(tokenizer, forgetful))
    turns = [Message(role=role, content="Hello") for role in ("user", "assistant") * 2]

    with pytest.raises(TrainingError) as caught:
        template.render(turns)

    assert caught.value.failure.reason is FailureReason.MODEL_REFUSED


def test_the_error_for_a_rejected_conversation_lists_its_roles(tokenizer: Any) -> None:
    strict = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    )
    template = Template(OtherTokenizer(tokenizer, strict))
    turns = [Message(role=role, content="Hello") for role in ("system", "user", "assistant")]

    with pytest.raises(RenderingFailed, match="system, user, assistant: no system role"):
        template.render(turns)
    with pytest.raises(RenderingFailed, match=r"user, assistant, … \(20 turns\): no system role"):
        template.render([turns[0], *turns[:0:-1] * 9, turns[2]])
    assert template.is_usable()


@pytest.mark.parametrize(
    "broken",
    [
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{% for x in y %}" * 50 + "{% endfor %}" * 50,
        "{% if x %}" * 1000 + "{% endif %}" * 1000,
        "{{ messages",
        "{{ 1 / 0 }}",
        "{{ messages[0].content > 3 }}",
        "{{ range(10 ** 9) }}",
        "{{ messages.a.b }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    ],
)
def test_a_template_that_fails_on_every_conversation_is_not_usable(
    tokenizer: Any, broken: str
) -> None:
    template = Template(OtherTokenizer(tokenizer, broken))

    with pytest.raises(RenderingFailed, match="the model's chat template"):
        template.render(
            [Message(role="user", content="hi"), Message(role="assistant", content="Hello")]
        )
    assert not template.is_usable()


FIRST_ANSWERS = ["Hello", "\n\nleading", "a", "abc {{ y }}", "你好 🙂"]


@pytest.mark.parametrize("first", FIRST_ANSWERS)
def test_a_conversation_may_begin_with_an_assistant_turn(tokenizer: Any, first: str) -> None:
    other = QWEN2_TEMPLATE.replace("You are a helpful assistant.", "You are someone else.")
    turns = [
        Message(role="assistant", content=first),
        Message(role="user", content="hi"),
        Message(role="assistant", content="Hello"),
    ]

    for template in (Template(tokenizer), Template(OtherTokenizer(tokenizer, other))):
        assert answers(template.render(turns)) == [f"{first}<|im_end|>", "Hello<|im_end|>"]
        assert answers(template.render(turns[:1])) == [f"{first}<|im_end|>"]
    plain = Template(OtherTokenizer(tokenizer, None))
    assert answers(plain.render(turns)) == [f"{first}<|im_end|>", "Hello<|im_end|>"]


def test_the_first_answer_is_found_if_the_template_trims_it(tokenizer: Any) -> None:
    trimming = "{% for m in messages %}<|im_start|>{{ m['role'] + ': ' + m['content'] | trim }}<|im_end|>{% endfor %}"
    template = Template(OtherTokenizer(tokenizer, trimming))

    rendered = template.render([Message(role="assistant", content=" \n Hello ")])

    assert answers(rendered) == ["Hello<|im_end|>"]


def test_an_answer_is_found_even_if_the_template_rejects_the_turns_before_it(
    tokenizer: Any,
) -> None:
    requires_a_user = (
        "{% if not messages | selectattr('role', 'eq', 'user') | list %}{{ raise_exception('no user') }}{% endif %}"
    ) + QWEN2_TEMPLATE
    template = Template(OtherTokenizer(tokenizer, requires_a_user))
    turns = [
        Message(role=role, content=f"{role}!")
        for role in ("system", "assistant", "user", "assistant")
    ]

    assert answers(template.render(turns)) == ["assistant!<|im_end|>"] * 2


def test_a_first_answer_that_the_template_omits_is_an_error(tokenizer: Any) -> None:
    forgetful = "{% for m in messages %}{{ m['content'] if not loop.first else '...' }}{% endfor %}"
    template = Template(OtherTokenizer(tokenizer, forgetful))
    turns = [Message(role=role, content="Hello") for role in ("assistant", "user")]

    with pytest.raises(RenderingFailed, match="answer of turn 1"):
        template.render(turns)


def test_a_model_without_a_template_gets_plain_text_that_ends_with_its_eos_token(
    tokenizer: Any,
) -> None:
    template = Template(OtherTokenizer(tokenizer, None))

    rendered = template.render(
        [Message(role="user", content="What?"), Message(role="assistant", content="That.")]
    )

    assert template.kind == "plain"
    assert rendered.text == "What?\nThat.<|im_end|>"
    assert answers(rendered) == ["That.<|im_end|>"]
