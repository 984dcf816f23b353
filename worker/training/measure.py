"""A program that counts the tokens of a dataset: `python -m worker.training.measure < TASK > OUTCOME`.

It reads a MeasureTask and writes an ErrandOutcome, both as JSON. It renders and encodes rows with the functions that training uses. If there
is not enough time for all rows, the rows measured so far are a random sample, because blocks of rows are read in random order.
The chat template and the tokenizer are untrusted code, so the worker runs this program in a separate process with limits.
"""

import sys

from processes.arguments import take_no_arguments

if __name__ == "__main__":
    take_no_arguments("worker.training.measure", __doc__)
    # Tokenizers do not need torch, which takes two seconds and 180 MB to import. transformers works without it.
    sys.modules["torch"] = None  # type: ignore[assignment]  # makes the import fail

import random
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from contracts.dataset.conversation import Document
from contracts.dataset.row_error import RowError
from contracts.dataset.rows import parse_json, parse_row
from contracts.errands.errand import ErrandProgress
from contracts.errands.measurement import (
    MOST_ERROR_CHARACTERS,
    SHOWN_REFUSALS,
    MeasureResult,
    MeasureTask,
    RefusedRow,
    TokenCounts,
)
from contracts.failure import FailureReason
from contracts.run.run_dir import write_model
from worker.training.confined import Limits, run_confined
from worker.training.data.bounds import Bounds
from worker.training.data.lengths import RowLengths
from worker.training.data.rendering.template import Rendered, Template
from worker.training.data.rows import Row
from worker.training.data.tokenization.samples import (
    batch_rows,
    build_sample,
    encode_texts,
    render_row,
)
from worker.training.errors import TrainingError
from worker.training.model.tokenizer import load_tokenizer

FILE = "dataset"
BLOCK_ROWS = 16
"""Consecutive rows that are read together."""
SEED = 15
PROGRESS_SECONDS = 1.0
_UNCUT = 2**40


class Measuring:
    """Counts the tokens of the rows of one dataset."""

    def __init__(self, task: MeasureTask, clock: Callable[[], float] = time.monotonic) -> None:
        self._task, self._clock = task, clock
        self._ends_at = clock() + task.seconds
        self._bounds = Bounds()
        self._read_rows = self._read_bytes = self._untrained = 0
        self._refused: list[RefusedRow] = []
        self._refused_rows = 0
        self._reported_at = clock()

    def measure(self) -> TokenCounts:
        """Return the token counts. Raises TrainingError if the model's tokenizer or template cannot be used, and OSError."""
        begun = self._clock()
        tokenizer = load_tokenizer(self._task.model)
        template = Template(tokenizer)
        starts = _find_lines(self._task.data)
        lengths = RowLengths(len(starts) - 1)
        encoder = ThreadPoolExecutor(1, "encoder")
        try:
            for batch in batch_rows(self._rows(starts)):
                self._measure(batch, lengths, tokenizer, template, encoder)
                self._report(starts[-1])
        finally:
            encoder.shutdown(wait=False, cancel_futures=True)
        counts = lengths.count(
            measured_rows=self._read_rows,
            untrained_rows=self._untrained,
            refused_rows=self._refused_rows,
            seconds=self._clock() - begun,
        )
        refused = sorted(self._refused, key=lambda each: each.row)[:SHOWN_REFUSALS]
        return counts.model_copy(update={"refused": refused})

    def _rows(self, starts: Sequence[int]) -> Iterator[Row]:
        """Yield the rows in blocks in random order, until time runs out."""
        count = len(starts) - 1
        blocks = list(range(0, count, BLOCK_ROWS))
        random.Random(SEED).shuffle(blocks)  # noqa: S311  # not for security
        with self._task.data.open("rb") as file:
            for first in blocks:
                if self._clock() >= self._ends_at and self._read_rows:
                    return
                last = min(first + BLOCK_ROWS, count)
                file.seek(starts[first])
                for number in range(first, last):
                    line = file.readline()
                    self._read_rows += 1
                    self._read_bytes += len(line)
                    row = self._parse(number, line)
                    if row is not None:
                        yield row

    def _parse(self, number: int, line: bytes) -> Row | None:
        try:
            text = line.decode("utf-8", "replace")
            row = Row(FILE, number + 1, parse_row(parse_json(text, number + 1), number + 1))
        except RowError as error:
            self._refuse(number, str(error))
            return None
        if not row.content.is_trained:
            self._untrained += 1
            return None
        return row

    def _measure(
        self,
        batch: Sequence[Row],
        lengths: RowLengths,
        tokenizer: Any,
        template: Template,
        encoder: ThreadPoolExecutor,
    ) -> None:
        rows: list[Row] = []
        texts: list[Rendered] = []
        with self._bounds.prepared():
            for row in batch:
                try:
                    text = render_row(row, template, self._bounds)
                except TrainingError as error:
                    if error.failure.reason is not FailureReason.DATASET_INVALID:
                        raise
                    self._refuse(row.line - 1, error.failure.detail)
                    continue
                rows.append(row)
                texts.append(text)
        if not rows:
            return
        encodings = encode_texts(
            rows,
            texts,
            tokenizer=tokenizer,
            template=template,
            bounds=self._bounds,
            encoder=encoder,
        )
        for row, text, encoding in zip(rows, texts, encodings, strict=True):
            if isinstance(row.content, Document):
                ids = encoding.ids
                end = tokenizer.eos_token_id
                has_end = end is None or ids[-1:] == [end]
                lengths.add_document(row.line - 1, len(ids) + (not has_end))
            else:
                lengths.add_conversation(row.line - 1, build_sample(text, encoding, _UNCUT))

    def _refuse(self, row: int, error: str) -> None:
        self._refused_rows += 1
        self._refused.append(RefusedRow(row=row, error=error[:MOST_ERROR_CHARACTERS]))
        if len(self._refused) > 100 * SHOWN_REFUSALS:
            self._refused = sorted(self._refused, key=lambda each: each.row)[:SHOWN_REFUSALS]

    def _report(self, total_bytes: int) -> None:
        if self._clock() - self._reported_at < PROGRESS_SECONDS:
            return
        self._reported_at = self._clock()
        progress = ErrandProgress(bytes_done=self._read_bytes, bytes_total=total_bytes)
        write_model(self._task.progress, progress)


def _find_lines(path: Path) -> "array[int]":
    """Return the byte offset of each line, and the size of the file."""
    starts = array("q", [0])
    place = 0
    with path.open("rb") as file:
        for line in file:
            place += len(line)
            starts.append(place)
    return starts


def main() -> None:
    """Read the task from stdin and write its outcome to stdout."""

    def start(content: bytes) -> tuple[Limits, Callable[[], MeasureResult]]:
        task = MeasureTask.model_validate_json(content)
        limits = Limits(task.cpu_seconds, task.memory_bytes, task.output_bytes)

        def measure() -> MeasureResult:
            counts = Measuring(task).measure()
            return MeasureResult(kind="measure", tokenizer=task.tokenizer, counts=counts)

        return limits, measure

    run_confined(start)


if __name__ == "__main__":
    main()
