"""The lengths, in tokens, of some rows of a dataset: counted by a worker, or estimated from characters. The server has no tokenizer."""

import functools
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from app.datasets.review.findings import Statistics
from app.plans.rows.counted import CountedDataset, EpochCounts, count_epoch
from contracts.dataset.conversation import Conversation, Document, Message, Parsed
from contracts.dataset.row_error import RowError
from contracts.dataset.rows import parse_row
from contracts.errands.measurement import TokenCounts

_PLACES = 4
_PLACE_BYTES = 256 * 1024
_MOST_ROWS = 400
"""Limits of a sample: this many bytes at each place, and this many rows in total. Reading it takes about 20 ms."""
_ASCII, _IDEOGRAPHS, _OTHER = 4.2, 1.6, 2.5
"""Characters per token of Qwen's tokenizer in English, Chinese and other scripts."""
_ALMOST_ALL = 0.95
_TURN_TOKENS = 5
"""Tokens that the template adds around each turn."""
_SYSTEM_TOKENS = 15
"""Tokens of the system prompt that Qwen2's template adds to rows without one."""


class RowLength(NamedTuple):
    """The length of a row in tokens."""

    tokens: int
    supervised: int
    """Tokens of the trained answers, which are at the end of most rows."""


@dataclass(frozen=True)
class Characters:
    """The lengths of all reviewed rows of a dataset, in characters."""

    longest: int
    bins: tuple[tuple[int, int], ...]
    """The smallest length in each bar of the histogram, and its number of rows."""
    per_token: float
    """Characters per token."""
    uses: float = 1.0
    """How many times an epoch has each of the rows on average."""

    @classmethod
    def of(cls, statistics: Statistics) -> "Characters":
        """Return the lengths that a review has found.

        Unless almost all rows are in Chinese, English is assumed, which has the fewest tokens per character.
        """
        scripts, lengths = statistics.scripts, statistics.lengths
        is_chinese = scripts.get("han", 0) > _ALMOST_ALL * sum(scripts.values())
        return cls(
            longest=lengths.longest,
            bins=tuple((each.from_characters, each.rows) for each in lengths.histogram),
            per_token=_IDEOGRAPHS if is_chinese else _ASCII,
        )

    def rows_over(self, tokens: float) -> int:
        """Return about how many rows have more than this many tokens; 0 only if the longest does not."""
        limit = tokens * self.per_token
        if self.longest <= limit:
            return 0
        return max(1, sum(rows for shortest, rows in self.bins if shortest > limit))


class RowSample(NamedTuple):
    """Lengths of some rows of a dataset, taken at evenly spaced places in its file."""

    lengths: tuple[RowLength, ...]
    is_complete: bool
    """Whether the sample contains all rows."""
    is_text: bool = False
    """Whether some rows are documents, which are joined and split into samples of equal length."""
    counted: tuple[CountedDataset, ...] = ()
    """The token counts of the datasets whose tokens a worker has counted."""
    counts: EpochCounts | None = None
    """The token counts of all rows, if the tokens of all datasets have been counted."""
    is_mixed: bool = False
    """Whether the rows are from several datasets."""
    characters: tuple[Characters, ...] = ()
    """The lengths of all rows of the datasets that have been reviewed, in characters."""


def take_sample(dataset: str, counts: TokenCounts) -> RowSample:
    """Return a sample of the rows whose lengths a worker has reported."""
    lengths = tuple(RowLength(row.tokens, row.trained) for row in counts.sample)
    part = CountedDataset(dataset, counts)
    return RowSample(
        lengths, counts.is_complete, counts.documents > 0, (part,), EpochCounts((part,))
    )


@functools.lru_cache(maxsize=256)
def read_sample(path: Path) -> RowSample:
    """Return a sample of a stored dataset, which never changes. Empty if the file cannot be read."""
    found: list[RowLength] = []
    is_text = False
    try:
        size = path.stat().st_size
        is_complete = size <= _PLACES * _PLACE_BYTES
        for line in _lines(path, size, is_complete=is_complete):
            row = _parse(line)
            if row is not None and row.is_trained:
                found.append(_length(row))
                is_text = is_text or isinstance(row, Document)
            if len(found) >= _MOST_ROWS and not is_complete:
                break
    except OSError:
        return RowSample((), is_complete=False)
    return RowSample(tuple(found), is_complete, is_text)


def mix_samples(
    samples: Sequence[RowSample], rows: Sequence[int], uses: Sequence[int]
) -> RowSample:
    """Return a sample of an epoch over several datasets, with the longest row of each.

    `rows`: the trainable rows of each dataset. `uses`: how many rows of the epoch are from it.
    """
    parts = [
        replace(sample.counted[0], uses=used / max(1, count)) if sample.counted else None
        for sample, count, used in zip(samples, rows, uses, strict=True)
    ]
    total = sum(uses)
    count = min(total, _MOST_ROWS)
    mixed: list[RowLength] = []
    for sample, used in zip(samples, uses, strict=True):
        lengths = sorted(sample.lengths)
        share = max(1, round(count * used / total)) if lengths and used else 0
        # Take evenly spaced rows in order of length, including the longest.
        mixed += [lengths[-(-(place + 1) * len(lengths) // share) - 1] for place in range(share)]
    random.Random(0).shuffle(mixed)  # noqa: S311  # the same order for the same datasets
    return RowSample(
        tuple(mixed),
        is_complete=all(sample.is_complete for sample in samples),
        is_text=any(sample.is_text for sample in samples),
        counted=tuple(part for part in parts if part is not None),
        counts=count_epoch(parts),
        is_mixed=True,
        characters=tuple(
            replace(each, uses=used / max(1, count))
            for sample, count, used in zip(samples, rows, uses, strict=True)
            for each in sample.characters
        ),
    )


def pack_sample(sample: RowSample | None) -> dict[str, Any] | None:
    """Return a sample as JSON content, without the counts."""
    if sample is None:
        return None
    lengths = [list(row) for row in sample.lengths]
    return {"lengths": lengths, "is_complete": sample.is_complete, "is_text": sample.is_text}


def unpack_sample(content: dict[str, Any] | None) -> RowSample | None:
    """Return the sample that pack_sample returned."""
    if content is None:
        return None
    lengths = tuple(RowLength(*row) for row in content["lengths"])
    return RowSample(lengths, content["is_complete"], content["is_text"])


def _lines(path: Path, size: int, *, is_complete: bool) -> Iterator[bytes]:
    """Yield whole lines: all of a small file, otherwise the same number from each place, in turn."""
    with path.open("rb") as file:
        if is_complete:
            yield from file
            return
        blocks = []
        for place in range(_PLACES):
            file.seek(size * place // _PLACES)
            lines = file.read(_PLACE_BYTES).splitlines()
            blocks.append(lines[bool(place) : -1])
        if not any(blocks):  # the rows are larger than the blocks
            file.seek(0)
            yield file.readline()
    for group in itertools.zip_longest(*blocks):
        yield from (line for line in group if line is not None)


def _parse(line: bytes) -> Parsed | None:
    try:
        return parse_row(json.loads(line), 1)
    except (ValueError, RowError, RecursionError):
        return None


def _length(row: Parsed) -> RowLength:
    if isinstance(row, Document):
        tokens = _tokens(row.text)
        return RowLength(tokens, tokens)
    supervised = sum(_answer_tokens(turn) for turn in row.turns if turn.is_answer and turn.trained)
    context = sum(
        _TURN_TOKENS + _answer_tokens(turn)
        for turn in row.turns
        if not (turn.is_answer and turn.trained)
    )
    return RowLength(context + supervised + _overhead(row), supervised)


def _overhead(row: Conversation) -> int:
    has_system = row.turns[0].role in ("system", "developer")
    tools = _tokens(json.dumps(row.tools, ensure_ascii=False)) if row.tools else 0
    return tools + (0 if has_system else _SYSTEM_TOKENS) + 3 * sum(t.is_answer for t in row.turns)


def _answer_tokens(turn: Message) -> int:
    calls = [f"{call.name}{json.dumps(call.arguments)}" for call in turn.tool_calls]
    return 2 + _tokens("".join([turn.content, turn.reasoning_content or "", *calls]))


def _tokens(text: str) -> int:
    ascii_count = len(text.encode("ascii", "ignore"))
    others = len(text) - ascii_count
    ideographs = sum("\u3000" <= each <= "\u9fff" for each in text) if others else 0
    return round(ascii_count / _ASCII + ideographs / _IDEOGRAPHS + (others - ideographs) / _OTHER)
