"""Helper processes make the same samples and raise the same errors as the training program alone."""

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.failure import FailureReason
from tests.programs.processes import children_of
from tests.tiny_model import make_tokenizer
from worker.training.data.arrays import Samples, Writer
from worker.training.data.bounds import Bounds
from worker.training.data.rendering.template import Template
from worker.training.data.rows import Row, read_rows
from worker.training.data.tokenization.helpers import Helpers
from worker.training.data.tokenization.samples import Tokenized, tokenize
from worker.training.errors import StopRequested, TrainingError
from worker.training.model.tokenizer import load_tokenizer

REJECTS_BANANAS = (
    "{% for m in messages %}{% if 'banana' in m['content'] %}{{ raise_exception('no bananas') }}{% endif %}"
    "{{ m['role'] + ': ' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
MAX_LENGTH = 64


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("helpers")
    tokenizer = make_tokenizer(["one two three"], vocabulary=300)
    tokenizer.chat_template = REJECTS_BANANAS
    tokenizer.save_pretrained(directory)
    return directory


def rows_of(path: Path, count: int, **others: str) -> list[Row]:
    """Return chats with documents between them; `others` replaces the questions of the rows with these numbers."""
    rows: list[Any] = []
    for number in range(count):
        if number % 700 == 699:
            rows.append({"text": "one two three " * 30})
            continue
        question = others.get(f"row_{number}", f"{number} one 🙂")
        rows.append({"instruction": question, "output": "two " * (number % 50 + 1)})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_rows(path, Bounds())


def made(
    model: Path, rows: list[Row], helpers: Helpers | None, bounds: Bounds | None = None
) -> tuple[Tokenized, Samples]:
    tokenizer, writer = load_tokenizer(model), Writer()
    try:
        tokenized = tokenize(
            rows,
            tokenizer,
            Template(tokenizer),
            max_length=MAX_LENGTH,
            bounds=bounds or Bounds(),
            count=lambda *_: None,
            writer=writer,
            helpers=helpers,
        )
        return tokenized, writer.finish()
    finally:
        if helpers is not None:
            helpers.close()


def helpers_for(model: Path, worth_seconds: float = 0.0) -> Helpers:
    return Helpers(2, model, None, MAX_LENGTH, worth_seconds)


def test_helpers_make_the_same_samples_in_the_same_order_and_exit(
    model: Path, tmp_path: Path
) -> None:
    rows = rows_of(tmp_path / "rows.jsonl", 2000)
    before = set(children_of(os.getpid()))
    helpers = helpers_for(model)

    alone, together = made(model, rows, None), made(model, rows, helpers)

    assert together[0] == alone[0]
    assert alone[0].truncated > 0
    assert len(together[1]) == len(alone[1])
    for one, other in zip(together[1], alone[1], strict=True):
        assert np.array_equal(one.ids, other.ids)
        assert np.array_equal(one.supervised, other.supervised)
    assert not helpers.are_running
    assert set(children_of(os.getpid())) <= before


def test_the_error_names_the_first_bad_row_whichever_helper_finds_it(
    model: Path, tmp_path: Path
) -> None:
    rows = rows_of(tmp_path / "rows.jsonl", 2000, row_1300="banana", row_1900="banana")

    with pytest.raises(TrainingError) as alone:
        made(model, rows, None)
    with pytest.raises(TrainingError) as together:
        made(model, rows, helpers_for(model))

    assert together.value.failure == alone.value.failure
    assert together.value.failure.evidence == {"line": 1301}


def test_a_small_dataset_starts_no_helpers(model: Path, tmp_path: Path) -> None:
    helpers = helpers_for(model, worth_seconds=1000.0)

    def check() -> None:
        assert not helpers.are_running

    made(model, rows_of(tmp_path / "rows.jsonl", 1000), helpers, Bounds(check))


class Watching(Bounds):
    """Calls a function at each poll."""

    def __init__(self, look: Any) -> None:
        super().__init__()
        self._look = look

    def poll(self) -> None:
        self._look()


def test_a_stop_request_ends_the_helpers(model: Path, tmp_path: Path) -> None:
    helpers = helpers_for(model)
    rows = rows_of(tmp_path / "rows.jsonl", 2000)
    before = set(children_of(os.getpid()))

    def stop() -> None:
        if helpers.are_running:
            raise StopRequested("cancelled")

    with pytest.raises(StopRequested):
        made(model, rows, helpers, Watching(stop))

    assert set(children_of(os.getpid())) <= before


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (signal.SIGKILL, MemoryError),
        (signal.SIGPROF, TrainingError),
        (signal.SIGSEGV, RuntimeError),
    ],
)
def test_a_helper_that_is_killed_ends_the_preparation_with_the_cause(
    model: Path, tmp_path: Path, number: signal.Signals, expected: type[Exception]
) -> None:
    rows = rows_of(tmp_path / "rows.jsonl", 1500)
    helpers = helpers_for(model)
    before = set(children_of(os.getpid()))

    def kill() -> None:
        for pid in set(children_of(os.getpid())) - before:
            with contextlib.suppress(ProcessLookupError):  # an earlier poll has ended it
                os.kill(pid, number)

    with pytest.raises(expected) as error:
        made(model, rows, helpers, Watching(kill))

    if isinstance(error.value, TrainingError):
        assert error.value.failure.reason is FailureReason.MODEL_REFUSED
    assert set(children_of(os.getpid())) <= before
