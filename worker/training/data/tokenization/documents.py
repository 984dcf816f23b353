"""Joins the tokens of documents and splits them into samples of the maximum length, without truncation or padding."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt


class Joiner:
    """Joins documents in order. Each ends with the end-of-text token, and the next one follows in the same sample."""

    def __init__(self, max_length: int, end_of_text: int | None) -> None:
        self._max_length = max_length
        self._end_of_text = end_of_text
        self._rest: npt.NDArray[np.int32] = np.empty(0, dtype=np.int32)

    def add(self, ids: Sequence[int] | npt.NDArray[np.int32]) -> Iterator[npt.NDArray[np.int32]]:
        """Add a document; yield the token ids of each sample that is now full."""
        end = (
            []
            if self._end_of_text is None or (len(ids) > 0 and ids[-1] == self._end_of_text)
            else [self._end_of_text]
        )
        joined = np.concatenate(
            [self._rest, np.asarray(ids, dtype=np.int32), np.array(end, dtype=np.int32)]
        )
        full = len(joined) // self._max_length * self._max_length
        for start in range(0, full, self._max_length):
            yield joined[start : start + self._max_length].copy()
        self._rest = joined[full:]

    def finish(self) -> Iterator[npt.NDArray[np.int32]]:
        """Yield the last, shorter sample if it has at least one token to predict."""
        if len(self._rest) > 1:
            yield self._rest
