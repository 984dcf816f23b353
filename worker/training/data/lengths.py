"""Collects the lengths of rows in tokens, and computes from them what a job would train on for any `training.max_length`."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from contracts.errands.measurement import (
    MOST_SAMPLED_ROWS,
    LengthPoint,
    SampledRow,
    TokenBin,
    TokenCounts,
)
from worker.training.data.arrays import Sample

_UNKNOWN = -1
_NEVER = 2**62
"""Position of the first and last supervised token of a row that has none, so that the row counts as dropped at any length."""
_FINE, _FINE_END, _COARSE, _COARSE_END = 64, 8192, 1024, 65_536
"""The results are exact for lengths that are multiples of these steps, up to these ends, and interpolated in between."""
_PERCENTILES = (*range(1, 100), 99.5, 99.9)
_EDGES = (0, *(digit * 2**power for power in range(4, 30) for digit in (2, 3)))
"""Edges of the histogram's bins in tokens: 0, 32, 48, 64, 96, …"""

Lengths = npt.NDArray[np.int64]


class RowLengths:
    """The lengths of a dataset's rows, some of which may not have been measured."""

    def __init__(self, rows: int) -> None:
        self._tokens = np.full(rows, _UNKNOWN, dtype=np.int64)
        self._trained = np.zeros(rows, dtype=np.int64)
        self._first = np.full(rows, _UNKNOWN, dtype=np.int64)
        self._last = np.full(rows, _UNKNOWN, dtype=np.int64)
        self._is_document = np.zeros(rows, dtype=np.bool_)
        self._trained_at: Lengths = np.zeros(1024, dtype=np.int64)
        """Number of conversations with a supervised token at each position."""

    def add_conversation(self, row: int, sample: Sample) -> None:
        """Add a row that has not been truncated."""
        positions = np.flatnonzero(sample.supervised)
        self._tokens[row] = len(sample)
        self._trained[row] = len(positions)
        self._first[row] = self._last[row] = _NEVER
        if not len(positions):
            return
        self._first[row], self._last[row] = positions[0], positions[-1]
        while len(self._trained_at) <= positions[-1]:
            self._trained_at = np.concatenate([self._trained_at, np.zeros_like(self._trained_at)])
        self._trained_at[positions] += 1

    def add_document(self, row: int, tokens: int) -> None:
        """Add a document with its end-of-text token. All of its tokens are supervised."""
        self._tokens[row] = self._trained[row] = tokens
        self._is_document[row] = True

    def count(
        self, *, measured_rows: int, untrained_rows: int, refused_rows: int, seconds: float
    ) -> TokenCounts:
        """Return the counts, without the rejected rows themselves. `measured_rows`: all rows that were read, including rejected ones."""
        known = self._tokens != _UNKNOWN
        lengths = np.sort(self._tokens[known])
        documents = int(self._is_document.sum())

        def percentile(percent: float) -> int:
            """Return the percentile of the lengths by nearest rank."""
            place = max(0, int(np.ceil(percent / 100 * len(lengths))) - 1)
            return int(lengths[place]) if len(lengths) else 0

        return TokenCounts(
            rows=len(self._tokens),
            measured_rows=measured_rows,
            untrained_rows=untrained_rows,
            refused_rows=refused_rows,
            refused=[],
            conversations=len(lengths) - documents,
            documents=documents,
            document_tokens=int(self._tokens[self._is_document].sum()),
            tokens=int(lengths.sum()),
            trained_tokens=int(self._trained.sum()),
            mean=float(lengths.mean()) if len(lengths) else 0.0,
            shortest=percentile(0),
            p50=percentile(50),
            p90=percentile(90),
            p95=percentile(95),
            p99=percentile(99),
            longest=percentile(100),
            histogram=list(_histogram(lengths)),
            points=list(self._points()),
            sample=self._sample(),
            seconds=seconds,
        )

    def _points(self) -> Iterator[LengthPoint]:
        chosen = (self._tokens != _UNKNOWN) & ~self._is_document
        if not chosen.any():
            return
        lengths = np.sort(self._tokens[chosen])
        firsts, lasts = np.sort(self._first[chosen]), np.sort(self._last[chosen])
        total = np.concatenate([[0], np.cumsum(lengths)])
        trained = np.concatenate([[0], np.cumsum(self._trained_at)])
        for length in _choose_lengths(lengths):
            shorter = int(np.searchsorted(lengths, length, side="right"))
            over = len(lengths) - shorter
            dropped = len(firsts) - int(np.searchsorted(firsts, length))
            shortened = len(lasts) - int(np.searchsorted(lasts, length))
            kept = int(total[shorter]) + (over - dropped) * length
            yield LengthPoint(
                max_length=length,
                rows_over=over,
                answers_cut=shortened - dropped,
                dropped_rows=dropped,
                tokens=kept,
                trained_tokens=int(trained[min(length, len(trained) - 1)]),
            )

    def _sample(self) -> list[SampledRow]:
        rows = np.flatnonzero(self._tokens != _UNKNOWN)
        if not len(rows):
            return []
        if len(rows) > MOST_SAMPLED_ROWS:
            places = np.linspace(0, len(rows) - 1, MOST_SAMPLED_ROWS - 1).astype(np.int64)
            longest = int(np.argmax(self._tokens))
            rows = np.union1d(rows[places], [longest])
        return [
            SampledRow(tokens=int(self._tokens[row]), trained=int(self._trained[row]))
            for row in rows
        ]


def _choose_lengths(ordered: Lengths) -> list[int]:
    """Return lengths in ascending order, the longest row last."""
    longest = int(ordered[-1])
    fixed = [8, 16, 32, *range(_FINE, _FINE_END + 1, _FINE)]
    fixed += range(_FINE_END + _COARSE, _COARSE_END + 1, _COARSE)
    fixed += [_COARSE_END * 2**power for power in range(1, 16)]
    quantiles = np.percentile(ordered, _PERCENTILES, method="inverted_cdf").astype(int).tolist()
    return sorted({each for each in (*fixed, *quantiles) if 0 < each < longest} | {longest})


def _histogram(ordered: Lengths) -> Iterator[TokenBin]:
    """Yield the bins from the first to the last that contains a row."""
    if not len(ordered):
        return
    ends = np.minimum(np.searchsorted(_EDGES, ordered, side="right"), len(_EDGES) - 1)
    rows = np.bincount(ends)
    for end in range(int(ends[0]), int(ends[-1]) + 1):
        yield TokenBin(from_tokens=_EDGES[end - 1], to_tokens=_EDGES[end], rows=int(rows[end]))
