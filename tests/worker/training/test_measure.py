"""Counts of a dataset's tokens equal those of the samples that the training program makes from the rows."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from app.datasets.tokens.lengths import advise_length, at_length
from contracts.errands.errand import MOST_RESULT_BYTES
from contracts.errands.measurement import MeasureTask, TokenCounts
from tests.tiny_model import make_tokenizer
from worker.training.data.arrays import Writer
from worker.training.data.bounds import Bounds
from worker.training.data.rendering.template import Template
from worker.training.data.rows import read_rows
from worker.training.data.tokenization.samples import tokenize
from worker.training.measure import BLOCK_ROWS, Measuring
from worker.training.model.tokenizer import load_tokenizer

REJECTS_BANANAS = (
    "{% for m in messages %}{% if 'banana' in m['content'] %}{{ raise_exception('no bananas') }}{% endif %}"
    "{{ m['role'] + ': ' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("measure")
    tokenizer = make_tokenizer(["You are a helpful assistant. one two three"], vocabulary=300)
    tokenizer.save_pretrained(directory)
    return directory


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def measured(model: Path, data: Path, seconds: int = 1000, tick: float = 0.0) -> TokenCounts:
    """Count the tokens. `tick`: seconds by which the clock advances each time it is read."""
    task = MeasureTask(
        data=data,
        model=model,
        tokenizer="0" * 64,
        progress=data.with_name("progress.json"),
        seconds=seconds,
        cpu_seconds=100,
        memory_bytes=2**40,
        output_bytes=MOST_RESULT_BYTES,
    )
    times = itertools.count(step=tick) if tick else itertools.repeat(0.0)
    return Measuring(task, lambda: next(times)).measure()


def chats(count: int) -> list[Any]:
    return [
        {"instruction": "one two " * (number % 23), "output": "three " * (number % 41 + 1)}
        for number in range(count)
    ]


def test_counts_equal_those_of_the_training_program_at_any_length(
    model: Path, tmp_path: Path
) -> None:
    data = write(tmp_path / "rows.jsonl", chats(300))
    tokenizer = load_tokenizer(model)
    rows = read_rows(data, Bounds())

    counts = measured(model, data)

    lengths = [each.max_length for each in counts.points]
    assert lengths[-1] == counts.longest
    for max_length in (8, 40, 64, 128, counts.p90, counts.longest):
        writer = Writer()
        made = tokenize(
            rows,
            tokenizer,
            Template(tokenizer),
            max_length=max_length,
            bounds=Bounds(),
            count=lambda *_: None,
            writer=writer,
        )
        cut = at_length(counts, max_length)
        assert cut.dropped_rows == made.dropped
        assert cut.rows_over - made.dropped <= made.truncated <= cut.rows_over
        if max_length in lengths:
            samples = writer.finish()
            assert cut.tokens == sum(map(len, samples))
            assert cut.trained_tokens == sum(each.supervised_tokens for each in samples)
    assert (counts.rows, counts.measured_rows, counts.conversations) == (300, 300, 300)
    assert sum(each.rows for each in counts.histogram) == 300
    advised = advise_length(counts)
    assert advised is not None
    assert at_length(counts, advised).answers_cut < 3 <= at_length(counts, advised - 64).answers_cut


def test_documents_are_counted_separately_and_rejected_rows_are_named(
    model: Path, tmp_path: Path
) -> None:
    tokenizer = make_tokenizer(["one two three"], vocabulary=300)
    tokenizer.chat_template = REJECTS_BANANAS
    tokenizer.save_pretrained(tmp_path / "model")
    texts = [{"text": "one two three " * 9}] * 3
    bad = {"instruction": "a banana", "output": "no"}
    unrated = {"prompt": "a", "completion": "b", "label": False}
    data = write(tmp_path / "rows.jsonl", [*texts, bad, *chats(4), bad, unrated])

    counts = measured(tmp_path / "model", data)

    expected = len(tokenizer(texts[0]["text"])["input_ids"]) + 1
    assert (counts.documents, counts.document_tokens) == (3, 3 * expected)
    assert (counts.conversations, counts.untrained_rows, counts.refused_rows) == (4, 1, 2)
    assert [each.row for each in counts.refused] == [3, 8]
    assert "no bananas" in counts.refused[0].error


def test_if_time_runs_out_the_measured_rows_are_a_sample_of_the_whole_file(
    model: Path, tmp_path: Path
) -> None:
    rows = 200 * BLOCK_ROWS
    longer = [{"instruction": "one", "output": "two " * (1 + row // 160)} for row in range(rows)]
    data = write(tmp_path / "rows.jsonl", longer)

    everything = measured(model, data)
    partial = measured(model, data, seconds=60, tick=1.0)

    assert everything.is_complete
    assert not partial.is_complete
    assert BLOCK_ROWS < partial.measured_rows < rows / 2
    assert partial.measured_rows == partial.conversations
    # The mean of the first rows alone would be about a quarter of this mean.
    assert partial.mean == pytest.approx(everything.mean, rel=0.2)
    assert len(everything.sample) <= 512
    assert max(each.tokens for each in everything.sample) == everything.longest


def test_an_empty_result_has_no_points(model: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "rows.jsonl", [{"prompt": "a", "completion": "b", "label": False}])

    counts = measured(model, data)

    assert (counts.tokens, counts.points, counts.histogram, counts.untrained_rows) == (0, [], [], 1)
    assert advise_length(counts) is None
