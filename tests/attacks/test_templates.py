"""Chat templates are programs that come with a model. The ones in this file never end, use all memory or do not compile."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

from contracts.attempt import Outcome, Wanted
from contracts.failure import FailureReason
from contracts.job import Phase
from contracts.record import PhaseRecord
from contracts.run.run_dir import Control, RunDir, write_model
from tests.tiny_model import make_rows, write_rows
from tests.worker.training.conftest import small_spec
from tests.worker.training.harness.run_directory import (
    DEADLINE_SECONDS,
    make_run_dir,
    outcome_of,
    records,
    start,
    wait_for,
)
from worker.training.data.bounds import Bounds
from worker.training.data.preparation import prepare
from worker.training.data.rendering.template import QWEN2_TEMPLATE, Template
from worker.training.errors import TrainingError
from worker.training.model.tokenizer import load_tokenizer

ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
DOUBLING = "{% set n = namespace(x='0123456789') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}"
ALTERNATE = (  # as the templates of Mistral and Gemma do
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture
def rejection(tiny_model: Path, tmp_path: Path) -> Callable[..., TrainingError]:
    """Return a function that tokenizes rows with a template and returns the error."""

    def prepare_rows(chat_template: str, rows: list[Any], seconds: float = 0.5) -> TrainingError:
        tokenizer = load_tokenizer(tiny_model)
        tokenizer.chat_template = chat_template
        run_dir = RunDir(tmp_path)
        write_rows(run_dir.train_data, rows)
        bounds = Bounds(seconds=seconds)
        with pytest.raises(TrainingError) as caught:
            prepare(run_dir, small_spec(), tokenizer, Template(tokenizer), bounds=bounds)
        return caught.value

    return prepare_rows


def with_template(model: Path, directory: Path, chat_template: str) -> Path:
    shutil.copytree(model, directory)
    (directory / "chat_template.jinja").write_text(chat_template)
    return directory


@pytest.mark.parametrize(
    ("chat_template", "reason"),
    [
        (ENDLESS, "needs more than 0.5 seconds of CPU time"),
        (
            "{% macro m() %}{% for i in range(9) %}{{ m() }}{% endfor %}{% endmacro %}{{ m() }}",
            "RecursionError",
        ),
        (DOUBLING, "bytes of memory"),
        ("{{ 'x' * 10 ** 11 }}", "bytes of memory"),
        ("{{ '%1000000000000d' % 1 }}", "bytes of memory"),
        ("{{ 'x' * 10 ** 7 }}", "writes more than 8,388,608 characters"),
        ("{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}", "RecursionError"),
        ("{% for x in y %}" * 50 + "{% endfor %}" * 50, "SyntaxError"),
        ("{{ 9 ** 99999999 }}", "seconds of CPU time"),
        ("{{ messages.no.such }}", "has no attribute"),
    ],
    ids=[
        "endless",
        "recursive",
        "doubling",
        "memory",
        "format",
        "long",
        "nested",
        "blocks",
        "power",
        "undefined",
    ],
)
def test_a_template_that_cannot_be_rendered_is_rejected_and_the_row_is_named(
    rejection: Callable[..., TrainingError], chat_template: str, reason: str
) -> None:
    # A template that fails for another reason gets enough time, even on a busy machine.
    seconds = 0.5 if "CPU time" in reason else 20
    failure = rejection(chat_template, make_rows(3), seconds).failure

    assert failure.reason is FailureReason.MODEL_REFUSED
    assert failure.detail.startswith(("train.jsonl: line 1: ", "train.jsonl: line 2: "))
    assert reason in failure.detail
    assert failure.evidence["line"] in {1, 2}  # one of the three rows is held out


def test_a_template_that_never_ends_for_one_row_is_rejected_and_that_row_is_named(
    rejection: Callable[..., TrainingError],
) -> None:
    trap = "{% if 'spring' in messages[0].content %}" + ENDLESS + "{% endif %}" + QWEN2_TEMPLATE
    rows = [*make_rows(40), {"prompt": "spring", "completion": "!"}, *make_rows(3)]

    failure = rejection(trap, rows).failure

    assert failure.reason is FailureReason.MODEL_REFUSED
    assert failure.detail.startswith("train.jsonl: line 41: the model's chat template needs")


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        (("system", "user", "assistant"), "System role not supported"),
        (("assistant", "user", "assistant"), "must alternate"),
        (("assistant",), "must alternate"),
        (("user", "user", "assistant"), "must alternate"),
        (("user", "assistant", "assistant"), "must alternate"),
    ],
)
def test_a_conversation_that_the_template_rejects_makes_the_dataset_invalid(
    rejection: Callable[..., TrainingError], roles: tuple[str, ...], message: str
) -> None:
    row = {"messages": [{"role": role, "content": "x"} for role in roles]}

    failure = rejection(ALTERNATE, [*make_rows(40), row, *make_rows(3)]).failure

    assert failure.reason is FailureReason.DATASET_INVALID
    assert failure.detail.startswith("train.jsonl: line 41: ")
    assert message in failure.detail
    assert failure.evidence == {"line": 41}


def test_a_cancel_takes_effect_while_a_template_is_being_rendered(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Without the cancel, the first row would end the run as model_refused after ten seconds of CPU time."""
    model = with_template(tiny_model, tmp_path / "model", ENDLESS)
    run_dir = make_run_dir(tmp_path / "run", model)
    process = start(run_dir)

    def is_tokenizing() -> bool:
        found = [record for record in records(run_dir) if isinstance(record, PhaseRecord)]
        return bool(found) and found[-1].phase is Phase.TOKENIZING

    wait_for(is_tokenizing, process)
    write_model(run_dir.control, Control(wanted=Wanted.CANCEL))

    assert process.wait(DEADLINE_SECONDS) == 0, run_dir.output.read_text()
    assert outcome_of(run_dir) == Outcome(status="cancelled", step=0)


def test_a_tokenizer_that_fails_is_reported_as_a_problem_with_the_model(
    tiny_model: Path, tmp_path: Path
) -> None:
    """A regular expression in tokenizer.json backtracks until its library panics."""
    tokenizer = load_tokenizer(tiny_model)
    tokenizer.backend_tokenizer.pre_tokenizer = Split(Regex("(a+)+$"), "isolated")
    run_dir = RunDir(tmp_path)
    write_rows(run_dir.train_data, [{"prompt": "a" * 40 + "!", "completion": "b"}] * 3)

    with pytest.raises(TrainingError) as caught:
        prepare(run_dir, small_spec(), tokenizer, Template(tokenizer))

    assert caught.value.failure.reason is FailureReason.MODEL_REFUSED
    assert "the model's tokenizer fails on one of these rows" in caught.value.failure.detail
