"""Tools, tool calls, reasoning and untrained turns in templates like those of Qwen2.5 and Qwen3."""

from typing import Any

import pytest

from contracts.dataset.conversation import Conversation, Message
from contracts.dataset.rows import parse_row
from tests.chat_templates import (
    ARGUMENTS_AS_TEXT,
    QWEN3_LIKE,
    QWEN25_LIKE,
    QWEN25_MARKED,
    SHORT_CALL_IDS,
)
from tests.worker.training.data.test_template import OtherTokenizer, answers
from worker.training.data.rendering.answers import RenderingFailed
from worker.training.data.rendering.template import QWEN2_TEMPLATE, Template

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def call(**arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "weather", "arguments": arguments}}


def chat(*turns: tuple[str, Any], tools: Any = (TOOL,)) -> Conversation:
    """Return a conversation of (role, content or fields)."""
    rows = [
        {"role": role, **(fields if isinstance(fields, dict) else {"content": fields})}
        for role, fields in turns
    ]
    found = parse_row({"messages": rows, "tools": list(tools)}, 1)
    assert isinstance(found, Conversation)
    return found


CALLED = {
    "content": None,
    "tool_calls": [call(city="北京"), call(city="<|im_end|> Rome", days=[1, 2.5])],
}
SAID_AND_CALLED = {"content": "I look. ", "tool_calls": [call()]}
CONVERSATIONS = [
    chat(
        ("user", "天气？"),
        ("assistant", CALLED),
        ("tool", "晴"),
        ("tool", "rain"),
        ("assistant", "晴。"),
    ),
    chat(("system", "Be brief."), ("user", "a"), ("assistant", SAID_AND_CALLED)),
    chat(
        ("user", "a"),
        ("assistant", CALLED),
        ("tool", "b"),
        ("assistant", SAID_AND_CALLED),
        ("tool", ""),
        ("assistant", "c"),
    ),
    chat(
        ("assistant", CALLED), ("tool", "b"), ("assistant", "c"), ("user", "d"), ("assistant", "e")
    ),
    chat(("user", "a"), ("assistant", CALLED | {"weight": 0}), ("tool", "b"), ("assistant", "c")),
    chat(("user", "a"), ("assistant", "c"), ("user", "b"), ("assistant", "d"), tools=()),
]


def trained_answers(conversation: Conversation, template: Template) -> list[str]:
    return answers(template.render(conversation.turns, conversation.tools))


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_the_mask_equals_the_templates_own_marks_token_by_token(
    tokenizer: Any, conversation: Conversation
) -> None:
    unmarked = Template(OtherTokenizer(tokenizer, QWEN25_LIKE))
    marked = Template(OtherTokenizer(tokenizer, QWEN25_MARKED))
    turns = [unmarked._turn(turn) for turn in conversation.turns]
    expected = tokenizer.apply_chat_template(
        turns,
        tools=conversation.tools or None,
        chat_template=QWEN25_MARKED,
        return_assistant_tokens_mask=True,
        return_dict=True,
    )
    trained = {place for place, turn in enumerate(conversation.turns) if turn.trained}
    of_assistant = [
        place for place, turn in enumerate(conversation.turns) if turn.role == "assistant"
    ]
    marks = expected["assistant_masks"]
    begins = [place for place, bit in enumerate(marks) if bit and not (place and marks[place - 1])]
    assert len(begins) == len(of_assistant), "the template marks each answer"

    for template in (unmarked, marked):
        rendered = template.render(conversation.turns, conversation.tools)
        encoded = tokenizer(rendered.text, add_special_tokens=False)
        mask = [0] * len(encoded["input_ids"])
        for start, end in rendered.answers:
            first, last = encoded.char_to_token(start), encoded.char_to_token(end - 1)
            mask[first : last + 1] = [1] * (last + 1 - first)
        assert encoded["input_ids"] == expected["input_ids"]
        assert mask == _only(marks, of_assistant, trained)


def _only(mask: list[int], of_assistant: list[int], trained: set[int]) -> list[int]:
    """Return the mask without the answers of turns that are not trained."""
    kept, number = [], -1
    for place, bit in enumerate(mask):
        if bit and (place == 0 or not mask[place - 1]):
            number += 1
        kept.append(int(bool(bit) and of_assistant[number] in trained))
    return kept


def test_tools_and_calls_are_in_the_text_and_calls_are_trained(tokenizer: Any) -> None:
    template = Template(OtherTokenizer(tokenizer, QWEN25_LIKE))
    conversation = CONVERSATIONS[0]

    rendered = template.render(conversation.turns, conversation.tools)

    assert '<tools>\n{"type": "function", "function": {"name": "weather"' in rendered.text
    assert answers(rendered) == [
        '<tool_call>\n{"name": "weather", "arguments": {"city": "北京"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "weather", "arguments": {"city": "<|im_end|> Rome", "days": [1, 2.5]}}\n</tool_call><|im_end|>',
        "晴。<|im_end|>",
    ]


def test_a_turn_with_weight_0_is_not_trained_with_any_kind_of_template(tokenizer: Any) -> None:
    conversation = chat(
        ("user", "a"),
        ("assistant", {"content": "b", "weight": 0}),
        ("user", "c"),
        ("assistant", "d"),
        tools=(),
    )

    for kind in (QWEN2_TEMPLATE, QWEN25_LIKE, QWEN25_MARKED, QWEN3_LIKE, None):
        template = Template(OtherTokenizer(tokenizer, kind))
        assert [
            text.removeprefix("<think>\n\n</think>\n\n")
            for text in trained_answers(conversation, template)
        ] == ["d<|im_end|>"]


def test_each_turn_is_trained_even_if_the_template_omits_earlier_reasoning(tokenizer: Any) -> None:
    template = Template(OtherTokenizer(tokenizer, QWEN3_LIKE))
    thought = {"content": "d", "reasoning_content": "hm"}

    two = chat(
        ("user", "a"),
        ("assistant", {"content": "b", "reasoning_content": "why"}),
        ("user", "c"),
        ("assistant", thought),
    )
    assert trained_answers(two, template) == ["b<|im_end|>", "<think>\nhm\n</think>\n\nd<|im_end|>"]
    calls = chat(
        ("user", "a"),
        ("assistant", {"tool_calls": [call(x=1)]}),
        ("tool", "b"),
        ("assistant", thought),
    )
    assert trained_answers(calls, template) == [
        '<tool_call>\n{"name": "weather", "arguments": {"x": 1}}\n</tool_call><|im_end|>',
        "<think>\nhm\n</think>\n\nd<|im_end|>",
    ]
    loop = chat(
        ("user", "a"),
        ("assistant", {"tool_calls": [call(x=1)], "reasoning_content": "first"}),
        ("tool", "b"),
        ("assistant", "c"),
        ("user", "d"),
        ("assistant", "e"),
    )
    assert [
        text.removeprefix("<think>\n\n</think>\n\n") for text in trained_answers(loop, template)
    ] == [
        '<tool_call>\n{"name": "weather", "arguments": {"x": 1}}\n</tool_call><|im_end|>',
        "c<|im_end|>",
        "e<|im_end|>",
    ]


def test_only_answers_are_trained_even_if_the_end_of_a_turn_is_not_a_special_token(
    tokenizer: Any,
) -> None:
    template = Template(OtherTokenizer(tokenizer, QWEN3_LIKE.replace("<|im_end|>", "<END>")))
    two = chat(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"), tools=())

    first, last = trained_answers(two, template)

    assert first in ("b", "b<END>")
    assert last.removesuffix("<END>").endswith("d")
    assert "c" not in first + last


def test_calls_and_results_get_short_ids_for_a_template_that_accepts_no_others(
    tokenizer: Any,
) -> None:
    template = Template(OtherTokenizer(tokenizer, SHORT_CALL_IDS))
    two = [call() | {"id": "call_of_openai_1"}, call() | {"id": "call_of_openai_2"}]
    with_ids = chat(
        ("user", "a"),
        ("assistant", {"content": None, "tool_calls": two}),
        ("tool", {"content": "second", "tool_call_id": "call_of_openai_2"}),
        ("tool", {"content": "first", "tool_call_id": "call_of_openai_1"}),
        ("assistant", SAID_AND_CALLED),
        ("tool", "third"),
        ("assistant", "c"),
    )

    rendered = template.render(with_ids.turns, with_ids.tools)

    assert template.facts.tool_calls
    assert answers(rendered) == [
        "weather#call00000{}weather#call00001{}<|im_end|>",
        "I look. weather#call00002{}<|im_end|>",
        "c<|im_end|>",
    ]
    results = [part.split("<")[0] for part in rendered.text.split("tool\n")[1:]]
    assert results == ["second#call00001", "first#call00000", "third#call00002"]
    kept = Template(OtherTokenizer(tokenizer, SHORT_CALL_IDS.replace("!= 9", "< 9")))
    assert "weather#call_of_openai_1" in kept.render(with_ids.turns[:4], with_ids.tools).text


def test_arguments_are_passed_as_text_to_a_template_that_needs_text(tokenizer: Any) -> None:
    template = Template(OtherTokenizer(tokenizer, ARGUMENTS_AS_TEXT))

    assert trained_answers(CONVERSATIONS[2], template) == [
        'weather {"city": "北京"}weather {"city": "<|im_end|> Rome", "days": [1, 2.5]}<|im_end|>',
        "I look. weather {}<|im_end|>",
        "c<|im_end|>",
    ]


@pytest.mark.parametrize("kind", [QWEN2_TEMPLATE, None])
def test_a_row_with_calls_that_the_template_would_omit_is_rejected(
    tokenizer: Any, kind: Any
) -> None:
    template = Template(OtherTokenizer(tokenizer, kind))

    with pytest.raises(RenderingFailed, match="does not render tool calls"):
        template.render(CONVERSATIONS[0].turns)


def test_the_features_of_a_template_are_determined_by_trial(tokenizer: Any) -> None:
    def facts(chat_template: str | None) -> tuple[set[str], bool, bool, bool]:
        found = Template(OtherTokenizer(tokenizer, chat_template)).facts
        assert found.late_system is ("system" in found.roles)
        return set(found.roles), found.tools, found.tool_calls, found.reasoning_content

    every = {"system", "developer", "user", "assistant", "tool"}
    assert facts(QWEN2_TEMPLATE) == (every, False, False, False)
    assert facts(QWEN25_LIKE) == (every, True, True, False)
    assert facts(QWEN3_LIKE) == (every, True, True, True)
    assert facts(ARGUMENTS_AS_TEXT) == (every, False, True, False)
    strict = (
        "{% for m in messages %}{% if m.role not in ['user', 'assistant'] %}{{ raise_exception('no') }}{% endif %}"
        "{{ m.content }}{% endfor %}"
    )
    assert facts(strict) == ({"user", "assistant"}, False, False, False)
    assert facts("{{ 1 / 0 }}") == (set(), False, False, False)
    leading = (
        "{% for m in messages %}{{ m.content if m.role != 'system' or loop.first }}{% endfor %}"
    )
    found = Template(OtherTokenizer(tokenizer, leading)).facts
    assert ("system" in found.roles, found.late_system) == (True, False)


def test_a_developer_turn_becomes_a_system_turn_unless_the_template_supports_developer_turns(
    tokenizer: Any,
) -> None:
    turns = [Message("developer", "Be brief."), Message("user", "a"), Message("assistant", "b")]
    other = QWEN2_TEMPLATE.replace("a helpful assistant", "someone")

    for kind in (QWEN2_TEMPLATE, QWEN25_LIKE, other):
        text = Template(OtherTokenizer(tokenizer, kind)).render(turns).text
        assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>\n")
    knowing = Template(OtherTokenizer(tokenizer, "{# developer #}" + other))
    assert "<|im_start|>developer\nBe brief." in knowing.render(turns).text
