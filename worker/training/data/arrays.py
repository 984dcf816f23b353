"""The token ids and masks of many samples, one after another in a few arrays: in memory, or mapped from files."""

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, overload

import numpy as np
import numpy.typing as npt

_IDS, _SUPERVISED, _ENDS = "ids", "supervised", "ends"
"""Files of one split: int32 token ids, one byte per token, and the int64 index of the token after each sample."""


@dataclass(frozen=True)
class Sample:
    """One row as tokens. A token is supervised if the model is trained to predict it; the first token never is."""

    ids: npt.NDArray[np.int32]
    supervised: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def supervised_tokens(self) -> int:
        """Number of tokens that the model is trained to predict."""
        return int(self.supervised.sum())


class Samples(Sequence[Sample]):
    """Samples as views of shared arrays. `ids` and `supervised` have one entry per token, `ends` one per sample."""

    def __init__(
        self,
        ids: npt.NDArray[np.int32],
        supervised: npt.NDArray[np.bool_],
        ends: npt.NDArray[np.int64],
        problem: OSError | None = None,
        *,
        starts: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """`problem`: why the arrays are in memory although files were requested.

        `starts`: one entry per sample; None if each sample begins where the previous one ends.
        """
        self._ids, self._supervised = ids, supervised
        self.problem = problem
        follows = np.concatenate([np.zeros(1, np.int64), ends])[:-1]
        self._starts = follows if starts is None else starts
        self._ends = ends

    @classmethod
    def mapped(cls, directory: Path) -> Self:
        """Map the files that a Writer has written. Raises OSError, or ValueError if their sizes do not match."""
        ids = _map(directory / _IDS, np.int32)
        supervised = _map(directory / _SUPERVISED, np.bool_)
        ends = _map(directory / _ENDS, np.int64)
        if not len(ids) == len(supervised) == (ends[-1] if len(ends) else 0):
            raise ValueError(f"{directory}: the sizes of the files do not match")
        if len(ends) and (ends[0] < 1 or np.any(np.diff(ends) < 1)):
            raise ValueError(f"{directory}: the ends of the samples are not ascending")
        return cls(ids, supervised, ends)

    def picked(self, indexes: npt.NDArray[np.int64]) -> "Samples":
        """Return the samples with these indexes, in this order. Repeated samples share their tokens."""
        return Samples(
            self._ids,
            self._supervised,
            self._ends[indexes],
            self.problem,
            starts=self._starts[indexes],
        )

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]  # raises IndexError
        tokens = slice(self._starts[number], self._ends[number])
        return Sample(self._ids[tokens], self._supervised[tokens])

    def __iter__(self) -> Iterator[Sample]:
        return (self[number] for number in range(len(self)))

    @property
    def longest(self) -> int:
        """Number of tokens of the longest sample; 0 without samples."""
        return int((self._ends - self._starts).max(initial=0))

    @property
    def largest_token(self) -> int:
        """Highest token id; -1 without samples."""
        return int(self._ids.max(initial=-1))


class Writer:
    """Collects samples one after another: in files, or in memory if there is no directory or its disk is full."""

    def __init__(self, directory: Path | None = None) -> None:
        """`directory`: must not exist yet, but its parent must."""
        self._ids: list[npt.NDArray[np.int32]] = []
        self._supervised: list[npt.NDArray[np.bool_]] = []
        self._ends: list[int] = []
        self._directory = directory
        self._files: list[IO[bytes]] = []
        self._problem: OSError | None = None
        if directory is not None:
            try:
                directory.mkdir(mode=0o700)
                self._files = [(directory / name).open("wb") for name in (_IDS, _SUPERVISED)]
            except OSError as error:
                self._give_up(error)

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, sample: Sample) -> None:
        """Add a sample of at least one token."""
        self._ends.append((self._ends[-1] if self._ends else 0) + len(sample))
        self._ids.append(sample.ids)
        self._supervised.append(sample.supervised)

    def flush(self) -> None:
        """Write the samples added since the last call to the files."""
        if not self._files:
            return
        written = [file.tell() for file in self._files]
        try:
            ids, supervised = self._files
            ids.write(b"".join(array.tobytes() for array in self._ids))
            supervised.write(b"".join(array.tobytes() for array in self._supervised))
            for file in self._files:
                file.flush()
        except OSError as error:
            self._read_back(written)
            self._give_up(error)
        else:
            self._ids.clear()
            self._supervised.clear()

    def finish(self) -> Samples:
        """Return all samples. The writer must not be used afterwards."""
        self.flush()
        if self._files and self._directory is not None:
            try:
                self._close()
                (self._directory / _ENDS).write_bytes(np.array(self._ends, np.int64).tobytes())
                return Samples.mapped(self._directory)
            except OSError as error:
                self._read_back([path.stat().st_size for path in self._paths()])
                self._give_up(error)
        return Samples(
            np.concatenate([np.empty(0, np.int32), *self._ids]),
            np.concatenate([np.empty(0, np.bool_), *self._supervised]),
            np.array(self._ends, np.int64),
            self._problem,
        )

    def _paths(self) -> list[Path]:
        assert self._directory is not None  # noqa: S101  # only called for files
        return [self._directory / name for name in (_IDS, _SUPERVISED)]

    def _read_back(self, written: Sequence[int]) -> None:
        ids, supervised = self._paths()
        self._ids.insert(0, np.fromfile(ids, np.int32, written[0] // 4))
        self._supervised.insert(0, np.fromfile(supervised, np.bool_, written[1]))

    def _close(self) -> None:
        for file in self._files:
            file.close()

    def _give_up(self, error: OSError) -> None:
        self._problem = error
        files, self._files = self._files, []
        for file in files:
            try:
                file.close()
            except OSError:  # closing flushes the buffer, which fails on a full disk
                continue


def _map(path: Path, kind: type[np.generic]) -> npt.NDArray[Any]:
    size = path.stat().st_size
    if size == 0:  # an empty file cannot be mapped
        return np.empty(0, kind)
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(content, kind)
