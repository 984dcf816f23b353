"""Computes the numbers of turns and characters, and the lengths of the rows."""

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping

from app.datasets.review.findings import Bin, Lengths, Statistics
from contracts.dataset.comparison import row_texts
from contracts.dataset.conversation import Conversation, Document, Message, Parsed

_EDGES = (0, *(digit * 10**power for power in range(1, 8) for digit in (1, 2, 5)))
"""Edges of the histogram's bins, in characters: 0, 10, 20, 50, 100, …"""


class Measures:
    """The counts so far."""

    def __init__(self) -> None:
        self._turns = 0
        self._trained = 0
        self._roles: Counter[str] = Counter()
        self._lengths = array("L")

    def add(self, row: Parsed) -> None:
        """Count a row."""
        length = 0
        if isinstance(row, Document):
            self._turns += 1
            self._trained += len(row.text)
        else:
            self._turns += len(row.turns)
            self._trained += sum(_trained_lengths(row))
        for role, text in row_texts(row):
            length += len(text)
            self._roles[role] += len(text)
        self._lengths.append(length)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self._lengths)

    def statistics(self, scripts: Mapping[str, int], rows_with_copies: int) -> Statistics:
        """Return the statistics. There must be at least one row."""
        characters = self._roles.total()
        return Statistics(
            turns=self._turns,
            characters=characters,
            trained_characters=self._trained,
            trained_share=self._trained / characters if characters else 0.0,
            roles={role: count for role, count in self._roles.items() if count},
            lengths=measure(self._lengths),
            scripts=dict(Counter(scripts).most_common()),
            rows_with_copies=rows_with_copies,
        )


def measure(lengths: "array[int]") -> Lengths:
    """Return percentiles (nearest rank) and a histogram of at least one length."""
    ordered = sorted(lengths)
    count = len(ordered)

    def percentile(percent: int) -> int:
        return ordered[max(0, -(-percent * count // 100) - 1)]

    return Lengths(
        mean=sum(ordered) / count,
        shortest=ordered[0],
        p50=percentile(50),
        p90=percentile(90),
        p95=percentile(95),
        p99=percentile(99),
        longest=ordered[-1],
        histogram=_histogram(ordered),
    )


def _histogram(ordered: list[int]) -> list[Bin]:
    """Return the bins from the first to the last that contains a row."""
    rows = Counter(min(bisect_right(_EDGES, length), len(_EDGES) - 1) for length in ordered)
    return [
        Bin(from_characters=_EDGES[end - 1], to_characters=_EDGES[end], rows=rows[end])
        for end in range(min(rows), max(rows) + 1)
    ]


def _trained_lengths(row: Conversation) -> Iterator[int]:
    for turn in row.turns:
        if turn.is_answer and turn.trained:
            yield len(turn.content) + len(turn.reasoning_content or "") + _calls_length(turn)


def _calls_length(turn: Message) -> int:
    """Return the length of a turn's tool calls in the form in which row_texts writes them."""
    if not turn.tool_calls:
        return 0
    only_calls = turn._replace(content="", reasoning_content=None)
    return sum(len(text) for _, text in row_texts(Conversation("messages", [only_calls])))
