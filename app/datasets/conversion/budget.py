"""Limits unpacked bytes, because a small compressed file can expand to any size."""

import io
import os
from typing import BinaryIO, Self

from app.datasets.files.file_error import FileError, FileProblem

MAX_RATIO = 200
"""Text typically compresses by a factor of 3 to 10, and very repetitive text by up to 50."""
FREE_BYTES = 16 * 1024 * 1024
"""The ratio is not checked below this size, because small content is harmless."""


class Budget:
    """The number of bytes that may still be unpacked, across all files of an upload."""

    def __init__(self, packed_bytes: int, limit_bytes: int) -> None:
        self._packed_bytes = packed_bytes
        self._limit_bytes = limit_bytes
        self._unpacked_bytes = 0

    @classmethod
    def of(cls, file: BinaryIO, limit_bytes: int) -> Self:
        """Return the budget for an upload."""
        packed_bytes = file.seek(0, os.SEEK_END)
        file.seek(0)
        return cls(packed_bytes, limit_bytes)

    def spend(self, count: int) -> None:
        """Count unpacked bytes. Raises FileError if the budget is exceeded."""
        self._unpacked_bytes += count
        if self._unpacked_bytes > self._limit_bytes:
            raise FileError(FileProblem.UNPACKED_TOO_LARGE, limit=self._limit_bytes)
        if self._unpacked_bytes > max(FREE_BYTES, MAX_RATIO * self._packed_bytes):
            raise FileError(FileProblem.RATIO, limit=MAX_RATIO)


class Unpacked(io.RawIOBase):
    """A decompressing stream that counts its bytes and raises FileErrors."""

    def __init__(
        self, source: BinaryIO, kind: str, budget: Budget, damage: tuple[type[Exception], ...]
    ) -> None:
        self._source = source
        self._kind = kind
        self._budget = budget
        self._damage = damage

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # the base class accepts any buffer
        """Fill the buffer with as many bytes as are available. Raises FileError."""
        filled = 0
        while filled < len(buffer):
            try:
                block = self._source.read(len(buffer) - filled)
            except self._damage as error:
                said = str(error) or type(error).__name__
                raise FileError(FileProblem.DAMAGED, kind=self._kind, said=said) from error
            if not block:
                break
            buffer[filled : filled + len(block)] = block
            filled += len(block)
        self._budget.spend(filled)
        return filled
