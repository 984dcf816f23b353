import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contracts.dataset.conversation import ROLES
from contracts.model_facts import WRITES_CONTENT_ONLY, TemplateFacts
from tests.chat_templates import QWEN3_LIKE, QWEN25_LIKE
from tests.tiny_model import make_tokenizer
from worker.supervisor.host.models.models_root import ModelCatalog
from worker.supervisor.host.models.template_trial import (
    TemplateTrials,
    describe_template,
)
from worker.training.data.rendering.describe import describe
from worker.training.data.rendering.template import QWEN2_TEMPLATE, Template

ORDERS = {
    "late_system": True,
    "assistant_first": True,
    "repeated_user": True,
    "repeated_assistant": True,
}
ALL = TemplateFacts(
    roles=list(ROLES),
    tools=True,
    tool_calls=True,
    parallel_calls=True,
    reasoning_content=True,
    **ORDERS,
)
ALTERNATING = (
    "{%- set start = 1 if messages[0].role == 'system' else 0 %}"
    "{%- for message in messages[start:] %}"
    "{%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{%- endif %}"
    "{{- '[' + message.role + ']' + message.content + eos_token }}{%- endfor %}"
)
"""Rejects conversations in which user and assistant do not alternate, as the templates of Mistral and Gemma do."""
ONE_CALL = QWEN25_LIKE.replace(
    "{%- for message in messages %}",
    "{%- for message in messages %}"
    "{%- if message.tool_calls and message.tool_calls | length != 1 %}{{ raise_exception('one call') }}{%- endif %}",
    1,
)
"""Rejects several tool calls in one turn, as the template of Llama 3.1 does."""


def run_now(work: Callable[[], None]) -> None:
    work()


def write_model(directory: Path, chat_template: Any, *, as_file: bool = False) -> Path:
    directory.mkdir(parents=True)
    (directory / "config.json").write_text("{}")
    config = {"eos_token": {"content": "<|im_end|>"}, "bos_token": None}
    if as_file:
        (directory / "chat_template.jinja").write_text(chat_template)
    elif chat_template:
        config["chat_template"] = chat_template
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return directory


def test_a_process_determines_what_a_template_renders(tmp_path: Path) -> None:
    assert describe_template(write_model(tmp_path / "a", QWEN3_LIKE, as_file=True)) == ALL
    named = [
        {"name": "default", "template": "{{ eos_token[5] }}"},
        {"name": "tool_use", "template": QWEN25_LIKE},
    ]
    two = describe(write_model(tmp_path / "b", named))
    assert two is not None
    assert two.model_dump(exclude=set(ORDERS)) == {
        "roles": ["tool"],
        "tools": True,
        "tool_calls": True,
        "parallel_calls": True,
        "reasoning_content": False,
    }
    strict = describe(write_model(tmp_path / "d", ALTERNATING))
    assert strict is not None
    assert strict.model_dump(include=set(ORDERS)) == dict.fromkeys(ORDERS, False)
    single = describe(write_model(tmp_path / "e", ONE_CALL))
    assert single is not None
    assert (single.tool_calls, single.parallel_calls) == (True, False)
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    assert describe_template(write_model(tmp_path / "c", endless)) is None


def test_the_special_tokens_of_a_template_are_also_read_from_their_own_file_and_without_them_it_is_unknown(
    tmp_path: Path,
) -> None:
    directory = write_model(tmp_path / "a", "{{ cls_token + messages[0].content }}")

    unknown = describe(directory)
    (directory / "special_tokens_map.json").write_text(json.dumps({"cls_token": "<s>"}))
    known = describe(directory)

    assert unknown is None
    assert known is not None
    assert "user" in known.roles


def test_facts_of_templates_that_need_no_trial_equal_those_of_the_training_program(
    tmp_path: Path,
) -> None:
    catalog = ModelCatalog(tmp_path / "models", TemplateTrials(lambda _: ALL, run_now))
    tokenizer = make_tokenizer(["a"], vocabulary=300)
    for name, chat_template in (("qwen2", QWEN2_TEMPLATE), ("plain", None), ("own", QWEN25_LIKE)):
        write_model(tmp_path / "models" / name, chat_template)
    tokenizer.chat_template = QWEN2_TEMPLATE
    assert Template(tokenizer).facts == WRITES_CONTENT_ONLY
    tokenizer.chat_template = None
    assert Template(tokenizer).facts == WRITES_CONTENT_ONLY

    assert {facts.name: facts.template for facts in catalog.read()} == {
        "qwen2": WRITES_CONTENT_ONLY,
        "plain": WRITES_CONTENT_ONLY,
        "own": ALL,
    }


def test_identical_templates_are_tried_once_and_later_reads_return_the_facts(
    tmp_path: Path,
) -> None:
    tried: list[str] = []
    waiting: list[Callable[[], None]] = []

    def note(directory: Path) -> TemplateFacts:
        tried.append(directory.name)
        return ALL

    for name, chat_template in (("a", "{{ 1 }}"), ("b", "{{ 2 }}"), ("c", "{{ 1 }}")):
        write_model(tmp_path / name, chat_template)
    catalog = ModelCatalog(tmp_path, TemplateTrials(note, waiting.append))

    assert [facts.template for facts in catalog.read()] == [None] * 3
    waiting.pop()()
    assert [facts.template for facts in catalog.read()] == [ALL, None, ALL]
    waiting.pop()()
    assert [facts.template for facts in catalog.read()] == [ALL] * 3
    assert (tried, waiting) == (["a", "b"], [])
