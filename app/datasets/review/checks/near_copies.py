"""Finds rows that differ from an earlier row in only a few words, with MinHash signatures and locality-sensitive hashing.

Lines that many rows share, such as an instruction that introduces every row, are ignored. Otherwise, all rows that follow the
same template would be near duplicates.
"""

import heapq
import itertools
import re
from collections import Counter
from collections.abc import Iterator

from contracts.dataset.comparison import normalize

SIMILARITY = 0.8
"""Rows are near duplicates if they share at least this fraction of their word triples (Jaccard similarity)."""
MOST_CHARACTERS = 2000
"""Only the beginning of a longer row is compared."""
SHARED_LINE_ROWS = 20
SHARED_LINE_SHARE = 0.02
"""A line counts as part of a template if it occurs in at least this many rows and in at least this share of them."""
FEWEST_TRIPLES = 6
"""Shorter rows are not compared, because a single word is a large part of them."""
MOST_COMPARED = 3
MOST_CANDIDATES = 100
"""A row is compared with at most MOST_COMPARED similar rows, and is added to the index only if it has fewer than MOST_CANDIDATES
of them. Otherwise, rows that share half of their words would all be compared with each other."""
_PERMUTATIONS = 128
_BANDS = 16
_SEED = 1
# A Chinese or Japanese character and a Korean syllable count as a word.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


class NearCopies:
    """The texts of the rows to compare."""

    def __init__(self) -> None:
        self._texts: list[tuple[int, str]] = []

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._texts)

    def add(self, row: int, text: str) -> None:
        """Add a row."""
        self._texts.append((row, text[:MOST_CHARACTERS]))

    def find(self) -> Iterator[tuple[int, int]]:
        """Yield (row, earlier row) for each row that is a near duplicate of an earlier one."""
        from rensa import RMinHash, RMinHashLSH  # noqa: PLC0415  # only reviews need it

        shared = self._shared_lines()
        index = RMinHashLSH(SIMILARITY, _PERMUTATIONS, _BANDS)
        different: list[tuple[int, str, RMinHash]] = []
        for row, text in self._texts:
            triples = _word_triples(text, shared)
            if len(triples) < FEWEST_TRIPLES:
                continue
            signature = RMinHash(_PERMUTATIONS, _SEED)
            signature.update(triples)
            candidates = sorted(index.query(signature))
            # The signatures only estimate the similarity, so the most similar rows are compared exactly.
            likely = heapq.nlargest(
                MOST_COMPARED,
                (different[key] for key in candidates[:MOST_CANDIDATES]),
                key=lambda each: each[2].jaccard(signature),
            )
            earlier = next(
                (
                    number
                    for number, other, _ in likely
                    if _similarity(triples, _word_triples(other, shared)) >= SIMILARITY
                ),
                None,
            )
            if earlier is not None:
                yield row, earlier
            elif len(candidates) < MOST_CANDIDATES:
                index.insert(len(different), signature)
                different.append((row, text, signature))

    def _shared_lines(self) -> set[str]:
        counts: Counter[str] = Counter()
        for _, text in self._texts:
            counts.update({line.strip() for line in text.splitlines()})
        fewest = max(SHARED_LINE_ROWS, SHARED_LINE_SHARE * len(self._texts))
        return {line for line, rows in counts.items() if rows >= fewest}


def _without(text: str, lines: set[str]) -> str:
    return "\n".join(itertools.filterfalse(lambda line: line.strip() in lines, text.splitlines()))


def _word_triples(text: str, shared_lines: set[str]) -> set[str]:
    words = _WORD.findall(normalize(_without(text, shared_lines)))
    return set(map(" ".join, zip(words, words[1:], words[2:], strict=False)))


def _similarity(one: set[str], other: set[str]) -> float:
    """Return the Jaccard similarity of two sets that are not empty."""
    common = len(one & other)
    return common / (len(one) + len(other) - common)
