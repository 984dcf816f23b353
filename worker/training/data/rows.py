"""Rows become samples: token ids, and which of them are trained. Decides the held-out split and the order of rows.

Both orders are pure functions of the seed. In epoch e (from 0) the kept training rows, numbered from 0 in the
file's order, are sorted by the SHA-256 of the ASCII text "{seed}:{e}:{row}". Rows are held out for evaluation in
the order of "{seed}:eval:{row}", row being the number from 0 among all rows of the file; they keep the file's order.
"""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from contracts.data_facts import DataFacts
from contracts.dataset import Message, parse_row, read_jsonl
from contracts.failure import FailureReason
from contracts.job import JobSpec, Phase
from contracts.row_error import RowError
from contracts.run_dir import RunDir
from worker.training.data.bounds import POLL_SECONDS, Bounds, OutOfBounds
from worker.training.data.facts import measure_rows
from worker.training.data.template import Rendered, RenderingFailed, Span, Template
from worker.training.errors import Evidence, TrainingError
from worker.training.rundir.counter import Count, RowCounter

_ROWS_AT_ONCE = 250
_CHARACTERS_AT_ONCE = 1_000_000
_NOBODY = RowCounter()


@dataclass(frozen=True, slots=True)
class Row:
    """A conversation and where it is: the file's name, and the line from 1."""

    file: str
    line: int
    turns: list[Message]

    @property
    def place(self) -> str:
        """The place in words."""
        return f"{self.file}: line {self.line}"


@dataclass(frozen=True)
class Sample:
    """One row as tokens. A token is supervised if its prediction is trained; the first one never is."""

    ids: npt.NDArray[np.int32]
    supervised: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def supervised_tokens(self) -> int:
        """Tokens whose prediction is trained."""
        return int(self.supervised.sum())


@dataclass(frozen=True)
class Data:
    """What a run trains and is measured on, and what was done to the rows to get there."""

    train: list[Sample]
    evaluation: list[Sample]
    truncated_rows: int
    dropped_rows: int
    facts: DataFacts
    digest: str
    """SHA-256 over every token and mask, to know the same data again after a resume."""

    @property
    def longest(self) -> int:
        """Tokens of the longest sample of all."""
        return max(len(sample) for sample in (*self.train, *self.evaluation))

    @property
    def largest_token(self) -> int:
        """Highest token id of all samples."""
        return max(int(sample.ids.max()) for sample in (*self.train, *self.evaluation))


def prepare(
    run_dir: RunDir,
    spec: JobSpec,
    tokenizer: Any,
    template: Template,
    *,
    counter: RowCounter = _NOBODY,
    bounds: Bounds | None = None,
) -> Data:
    """Read, split, render and tokenize. Raises TrainingError for rows or amounts that cannot be trained on.

    `bounds` are those of the template; what their `check` raises ends the work within about a second.
    """
    bounds = bounds or Bounds()
    rows = _read(run_dir.train_data, bounds)
    if run_dir.eval_data.exists():
        train_rows, eval_rows = rows, _read(run_dir.eval_data, bounds)
    else:
        train_rows, eval_rows = _hold_out(rows, spec)
    total = len(train_rows) + len(eval_rows)
    with counter.counting(Phase.TOKENIZING, total, total) as count:
        tokenize = partial(
            _tokenize,
            tokenizer=tokenizer,
            template=template,
            max_length=spec.training.max_length,
            bounds=bounds,
            count=count,
        )
        train, evaluation = tokenize(train_rows), tokenize(eval_rows)
    data = Data(
        train=train.samples,
        evaluation=evaluation.samples,
        truncated_rows=train.truncated + evaluation.truncated,
        dropped_rows=train.dropped + evaluation.dropped,
        facts=measure_rows(_turns(train_rows, bounds), _turns(eval_rows, bounds)),
        digest=_digest((*train.samples, *evaluation.samples)),
    )
    _check_amounts(data, spec)
    return data


def epoch_order(seed: int, epoch: int, rows: int) -> list[int]:
    """Return the order of the kept training rows in an epoch (from 0)."""
    return _ordered(f"{seed}:{epoch}", rows)


def held_out(seed: int, rows: int, count: int) -> list[int]:
    """Return which rows of a file are held out for evaluation, in the file's order."""
    return sorted(_ordered(f"{seed}:eval", rows)[:count])


def _ordered(prefix: str, rows: int) -> list[int]:
    keys = [hashlib.sha256(f"{prefix}:{row}".encode("ascii")).digest() for row in range(rows)]
    return sorted(range(rows), key=keys.__getitem__)


def _read(path: Path, bounds: Bounds) -> list[Row]:
    rows = []
    try:
        with path.open("rb") as lines:
            for line, value in read_jsonl(lines):
                rows.append(Row(path.name, line, parse_row(value, line)))
                bounds.poll()
    except FileNotFoundError as error:
        raise TrainingError(
            FailureReason.DATASET_NOT_FOUND, f"there is no {path.parent.name}/{path.name}"
        ) from error
    except RowError as error:
        raise TrainingError(
            FailureReason.DATASET_INVALID,
            f"{path.name}: {error}",
            evidence={"line": error.line},
        ) from error
    return rows


def _hold_out(rows: list[Row], spec: JobSpec) -> tuple[list[Row], list[Row]]:
    count = spec.dataset.held_out_rows(len(rows))
    if count >= len(rows):
        raise TrainingError(
            FailureReason.DATASET_TOO_SMALL,
            f"holding out {count} of {len(rows)} rows for evaluation (dataset.eval_size) leaves none to train on",
            evidence={"rows": len(rows), "eval_rows": count},
        )
    chosen = set(held_out(spec.training.seed, len(rows), count))
    return (
        [row for number, row in enumerate(rows) if number not in chosen],
        [row for number, row in enumerate(rows) if number in chosen],
    )


@dataclass(frozen=True)
class _Tokenized:
    samples: list[Sample]
    truncated: int
    dropped: int


def _tokenize(
    rows: Sequence[Row],
    tokenizer: Any,
    template: Template,
    *,
    max_length: int,
    bounds: Bounds,
    count: Count,
) -> _Tokenized:
    samples: list[Sample] = []
    truncated = dropped = 0
    # A thread of its own encodes, since it runs outside the interpreter: a stop need not wait for it.
    encoder = ThreadPoolExecutor(1, "encoder")
    try:
        for batch in _batches(rows):
            with bounds.prepared():
                texts = [_render(row, template, bounds) for row in batch]
            encode = partial(_encode, tokenizer, texts, template.adds_special_tokens)
            encoded = _wait_for(encoder.submit(encode), batch, bounds)
            for text, encoding in zip(texts, encoded.encodings, strict=True):
                sample = _sample(text, encoding, max_length)
                if not sample.supervised_tokens:
                    dropped += 1
                    continue
                truncated += len(encoding.ids) > max_length
                samples.append(sample)
            count(len(texts), len(texts))
            bounds.poll()
    finally:
        encoder.shutdown(wait=False, cancel_futures=True)
    return _Tokenized(samples, truncated, dropped)


def _batches(rows: Sequence[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += sum(len(turn.content) for turn in row.turns)
        if len(batch) == _ROWS_AT_ONCE or characters >= _CHARACTERS_AT_ONCE:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _render(row: Row, template: Template, bounds: Bounds) -> Rendered:
    """Render a row; whatever fails names it, and says whether the row or the model is to be changed."""
    evidence: Evidence = {"line": row.line}
    try:
        return bounds.call(template.render, row.turns)
    except OutOfBounds as error:
        detail = (
            f"{row.place}: the model's chat template {error} for this conversation of {len(row.turns)} turns; use a "
            "model with another template, or split long conversations"
        )
        raise TrainingError(FailureReason.MODEL_REFUSED, detail, evidence=evidence) from error
    except TrainingError as error:
        failure = error.failure
        raise TrainingError(
            failure.reason, f"{row.place}: {failure.detail}", evidence=evidence
        ) from error
    except RenderingFailed as error:
        is_rows_fault = _is_usable(template, bounds)
        reason = FailureReason.DATASET_INVALID if is_rows_fault else FailureReason.MODEL_REFUSED
        raise TrainingError(reason, f"{row.place}: {error}", evidence=evidence) from error


def _is_usable(template: Template, bounds: Bounds) -> bool:
    try:
        return bounds.call(template.is_usable)
    except OutOfBounds:
        return False


def _encode(tokenizer: Any, texts: list[Rendered], add_special_tokens: bool) -> Any:
    return tokenizer(
        [text.text for text in texts],
        add_special_tokens=add_special_tokens,
        return_attention_mask=False,
        verbose=False,  # its warning about long texts is about what is cut just below
    )


def _wait_for(encoded: Future[Any], batch: Sequence[Row], bounds: Bounds) -> Any:
    while not encoded.done():
        wait([encoded], timeout=POLL_SECONDS)
        bounds.poll()
    error = encoded.exception()
    if isinstance(error, MemoryError):
        raise error
    if (
        error is not None
    ):  # it runs what tokenizer.json says, and tells a panic of the library as any exception
        raise TrainingError(
            FailureReason.MODEL_REFUSED,
            f"its tokenizer fails on one of the rows {batch[0].place} to {batch[-1].line}: {type(error).__name__}: {error}",
            evidence={"line": batch[0].line},
        ) from error
    return encoded.result()


def _sample(text: Rendered, encoding: Any, max_length: int) -> Sample:
    ids = np.array(encoding.ids, dtype=np.int32)
    supervised = np.zeros(len(ids), dtype=np.bool_)
    for span in text.answers:
        tokens = _tokens_of(span, encoding)
        supervised[tokens.start : tokens.end] = True
    supervised[:1] = False  # nothing stands before the first token to predict it from
    return Sample(ids[:max_length], supervised[:max_length])


def _tokens_of(span: Span, encoding: Any) -> Span:
    # A tokenizer may give a character (a space it trims) to no token: then the next one inside the span counts.
    inside = range(span.start, span.end)
    first = next((t for c in inside if (t := encoding.char_to_token(c)) is not None), None)
    place = next((c for c in reversed(inside) if encoding.char_to_token(c) is not None), None)
    if first is None or place is None:
        return Span(0, 0)
    last = encoding.char_to_token(place)
    # Of a character of several tokens (an emoji in bytes) that is the first one only.
    while (chars := encoding.token_to_chars(last + 1)) and chars[0] <= place < chars[1]:
        last += 1
    return Span(first, last + 1)


def _turns(rows: Sequence[Row], bounds: Bounds) -> Iterator[list[Message]]:
    for row in rows:
        bounds.poll()
        yield row.turns


def _digest(samples: Sequence[Sample]) -> str:
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(len(sample).to_bytes(4, "big") + sample.ids.tobytes())
        digest.update(sample.supervised.tobytes())
    return digest.hexdigest()


def _check_amounts(data: Data, spec: JobSpec) -> None:
    batch = spec.effective_batch_size
    evidence: dict[str, str | int | float | bool | None] = {
        "train_rows": len(data.train),
        "eval_rows": len(data.evaluation),
        "dropped_rows": data.dropped_rows,
        "effective_batch_size": batch,
    }
    dropped = f" ({data.dropped_rows} rows had no answer left within training.max_length)"
    because = dropped if data.dropped_rows else ""
    if len(data.train) < batch:
        raise TrainingError(
            FailureReason.DATASET_TOO_SMALL,
            f"{len(data.train)} training rows{because} are fewer than one update takes: "
            f"training.per_device_batch_size × gradient_accumulation_steps = {batch}",
            evidence=evidence,
        )
    if not data.evaluation:
        raise TrainingError(
            FailureReason.DATASET_TOO_SMALL,
            f"no row is left to evaluate on{because}",
            evidence=evidence,
        )
