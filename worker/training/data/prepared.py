"""Data: the samples of a run, the facts about them for the summary, and their files in a directory of the cache."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from contracts.base import Tolerant
from contracts.dataset.facts import DataFacts
from contracts.run.run_dir import write_model
from worker.training.data.arrays import Sample, Samples

TRAIN, EVALUATION = "train", "evaluation"
"""Directories with the samples of each split."""
_FIGURES = "figures.json"


@dataclass(frozen=True)
class Data:
    """The training and evaluation samples of a run, and how many rows were truncated or dropped."""

    train: Samples
    evaluation: Samples
    parts: tuple[int, ...]
    """Number of different training samples from each dataset."""
    truncated_rows: int
    dropped_rows: int
    facts: DataFacts
    unwritten: dict[str, int]
    """Number of rows by the part that the chat template omits: `tools`, `tool_calls`, `reasoning_content`."""
    digest: str
    """SHA-256 over all tokens and masks, used to verify after a resume that the data is unchanged."""
    source: str = ""
    """Where the tokens came from and how long it took, for the log."""

    def write_figures(self, directory: Path) -> None:
        """Write everything but the samples to the directory that already contains them. Raises OSError."""
        figures = _Figures.model_validate(vars(self), from_attributes=True)
        write_model(directory / _FIGURES, _Written(figures=figures, sha256=_hash_figures(figures)))

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read a directory that `write_figures` has completed.

        Raises OSError, or ValueError if anything differs from what was written.
        """
        written = _Written.model_validate_json((directory / _FIGURES).read_bytes())
        figures = written.figures
        if _hash_figures(figures) != written.sha256:
            raise ValueError(f"{directory}: the figures differ from those that were written")
        train = Samples.mapped(directory / TRAIN)
        evaluation = Samples.mapped(directory / EVALUATION)
        if digest((*train, *evaluation)) != figures.digest:
            raise ValueError(f"{directory}: the tokens differ from those that were written")
        return cls(train=train, evaluation=evaluation, **dict(figures))

    @property
    def longest(self) -> int:
        """Number of tokens of the longest sample."""
        return max(self.train.longest, self.evaluation.longest)

    @property
    def largest_token(self) -> int:
        """Highest token id in all samples."""
        return max(self.train.largest_token, self.evaluation.largest_token)


class _Figures(Tolerant):
    parts: tuple[int, ...]
    truncated_rows: int
    dropped_rows: int
    facts: DataFacts
    unwritten: dict[str, int]
    digest: str


class _Written(Tolerant):
    figures: _Figures
    sha256: str
    """Hash of the figures; the digest among them covers the tokens."""


def _hash_figures(figures: _Figures) -> str:
    return hashlib.sha256(figures.model_dump_json().encode()).hexdigest()


def digest(samples: Iterable[Sample]) -> str:
    """Return the SHA-256 over all tokens and masks, as hexadecimal digits."""
    found = hashlib.sha256()
    for sample in samples:
        found.update(len(sample).to_bytes(4, "big") + sample.ids.tobytes())
        found.update(sample.supervised.tobytes())
    return found.hexdigest()
