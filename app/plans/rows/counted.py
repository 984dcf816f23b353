"""Token counts of the rows of an epoch: those of one dataset, or of several with their weights."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.datasets.tokens.lengths import AtLength, at_length, find_advised
from contracts.errands.measurement import TokenCounts


@dataclass(frozen=True)
class CountedDataset:
    """The counts of a dataset, and how much of an epoch is from it."""

    dataset: str
    counts: TokenCounts
    uses: float = 1.0
    """How many times an epoch has each of its rows on average: about its weight."""


@dataclass(frozen=True)
class EpochCounts:
    """The counts of all datasets of a job. Each figure is the sum over the datasets, multiplied by their uses."""

    parts: tuple[CountedDataset, ...]

    @property
    def is_complete(self) -> bool:
        """Whether all rows of all datasets were read."""
        return all(part.counts.is_complete for part in self.parts)

    @property
    def unread_factor(self) -> float:
        """Rows of the epoch per row whose length is known."""
        rows = sum(part.uses * part.counts.rows for part in self.parts)
        measured = sum(part.uses * part.counts.measured_rows for part in self.parts)
        return rows / measured if measured else 1.0

    @property
    def conversations(self) -> float:
        """Number of conversations."""
        return sum(part.uses * part.counts.conversations for part in self.parts)

    @property
    def documents(self) -> float:
        """Number of documents, which a job joins and splits at `training.max_length`."""
        return sum(part.uses * part.counts.documents for part in self.parts)

    @property
    def document_tokens(self) -> float:
        """Tokens of the documents."""
        return sum(part.uses * part.counts.document_tokens for part in self.parts)

    @property
    def tokens(self) -> float:
        """All tokens, before anything is cut."""
        return sum(part.uses * part.counts.tokens for part in self.parts)

    def at(self, max_length: int) -> AtLength:
        """Return what a job with this `training.max_length` trains on, without documents."""
        found = [
            tuple(part.uses * figure for figure in at_length(part.counts, max_length))
            for part in self.parts
        ]
        return AtLength(*map(sum, zip(*found, strict=True)))._replace(max_length=max_length)

    def advise_length(self) -> int | None:
        """Return the shortest length, as a multiple of 64, that cuts or drops fewer than 1 % of the conversations; None if none does."""
        lengths = {point.max_length for part in self.parts for point in part.counts.points}
        return find_advised(self.conversations, sorted(lengths), self.at)


def count_epoch(parts: Sequence[CountedDataset | None]) -> EpochCounts | None:
    """Return the counts of all datasets of a job, or None if one has not been counted."""
    counted = tuple(part for part in parts if part is not None)
    return EpochCounts(counted) if counted and len(counted) == len(parts) else None
