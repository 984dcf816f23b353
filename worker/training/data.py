"""Rows become samples: token ids, and which of them are trained. Decides the held-out split and the order of rows.

Both orders are pure functions of the seed. In epoch e (from 0) the kept training rows, numbered from 0 in the
file's order, are sorted by the SHA-256 of the ASCII text "{seed}:{e}:{row}". Rows are held out for evaluation in
the order of "{seed}:eval:{row}", row being the number from 0 among all rows of the file; they keep the file's order.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from contracts.dataset import Message, parse_row, read_jsonl
from contracts.failure import FailureReason
from contracts.job import JobSpec, Phase
from contracts.row_error import RowError
from contracts.run_dir import RunDir
from worker.training.counter import Count, RowCounter
from worker.training.errors import TrainingError
from worker.training.template import Rendered, Span, Template

Conversation = list[Message]
_ROWS_AT_ONCE = 250
_NOBODY = RowCounter()


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
    overlapping_rows: int
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
    counter: RowCounter = _NOBODY,
) -> Data:
    """Read, split, render and tokenize. Raises TrainingError for rows or amounts that cannot be trained on."""
    rows = _read(run_dir.train_data)
    if run_dir.eval_data.exists():
        train_rows, eval_rows = rows, _read(run_dir.eval_data)
    else:
        train_rows, eval_rows = _hold_out(rows, spec)
    max_length = spec.training.max_length
    total = len(train_rows) + len(eval_rows)
    with counter.counting(Phase.TOKENIZING, total, total) as count:
        train = _tokenize(train_rows, tokenizer, template, max_length, count)
        evaluation = _tokenize(eval_rows, tokenizer, template, max_length, count)
    data = Data(
        train=train.samples,
        evaluation=evaluation.samples,
        truncated_rows=train.truncated + evaluation.truncated,
        dropped_rows=train.dropped + evaluation.dropped,
        overlapping_rows=_overlap(train_rows, eval_rows),
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


def _read(path: Path) -> list[Conversation]:
    try:
        with path.open("rb") as lines:
            return [parse_row(value, line) for line, value in read_jsonl(lines)]
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


def _hold_out(
    rows: list[Conversation], spec: JobSpec
) -> tuple[list[Conversation], list[Conversation]]:
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
    rows: Sequence[Conversation], tokenizer: Any, template: Template, max_length: int, count: Count
) -> _Tokenized:
    samples: list[Sample] = []
    truncated = dropped = 0
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        texts = [template.render(row) for row in rows[first : first + _ROWS_AT_ONCE]]
        encoded = tokenizer(
            [text.text for text in texts],
            add_special_tokens=template.adds_special_tokens,
            return_attention_mask=False,
            verbose=False,  # its warning about long texts is about what is cut just below
        )
        for text, encoding in zip(texts, encoded.encodings, strict=True):
            sample = _sample(text, encoding, max_length)
            truncated += len(encoding.ids) > max_length
            if sample.supervised_tokens:
                samples.append(sample)
            else:
                dropped += 1
        count(len(texts), len(texts))
    return _Tokenized(samples, truncated, dropped)


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


def _overlap(train: Sequence[Conversation], evaluation: Sequence[Conversation]) -> int:
    def key(row: Conversation) -> tuple[tuple[str, str], ...]:
        return tuple((turn.role, turn.content) for turn in row)

    seen = {key(row) for row in train}
    return sum(key(row) in seen for row in evaluation)


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
