"""Reads records.jsonl in batches, in order of seq, starting after the last acknowledged record.

The training program appends to the file, so the last line may be incomplete; it is left for the next read. Reading
stops at a complete line that is damaged or out of sequence, and an attempt with such a line cannot succeed.
"""

import math
from collections import deque
from pathlib import Path

from contracts.record import Record, decode_line

BATCH = 500
"""Maximum number of records per sync."""
READ_BYTES = 1024 * 1024
"""Maximum bytes per read."""


class Follow:
    """Tracks which records of one attempt have been read, and which ones the server has acknowledged."""

    def __init__(self, path: Path, end: float = math.inf) -> None:
        """`end` is the number of bytes after which reading stops, although another program may append more."""
        self._path = path
        self._end = end
        self._offset = 0
        self._read_seq = 0
        self._pending: deque[Record] = deque()
        self.damage: str | None = None
        """Why the file cannot be read further; None while it can be."""

    @property
    def last_seq(self) -> int:
        """Number of the last record read; 0 before the first."""
        return self._read_seq

    def batch(self) -> list[Record]:
        """Return at most 500 records: the oldest ones that the server has not acknowledged yet."""
        if len(self._pending) < BATCH:
            self._read_more()
        return [record for record, _ in zip(self._pending, range(BATCH), strict=False)]

    def acknowledge(self, seq: int) -> None:
        """Drop the records up to seq, which the server has. If later records were already dropped, reread the file."""
        first_kept = self._read_seq - len(self._pending) + 1
        if seq + 1 < first_kept:
            self._offset, self._read_seq = 0, 0
            self._pending.clear()
            while self._read_seq < seq and self._read_more():
                self._drop(seq)
        self._drop(seq)

    def _drop(self, seq: int) -> None:
        while self._pending and self._pending[0].seq <= seq:
            self._pending.popleft()

    def _read_more(self) -> bool:
        if self.damage is not None or not self._path.exists():
            return False
        with self._path.open("rb") as file:
            file.seek(self._offset)
            block = file.read(int(min(READ_BYTES, self._end - self._offset)))
        if b"\n" not in block and len(block) == READ_BYTES:
            self.damage = f"after record {self._read_seq}: a line of more than {READ_BYTES} bytes"
        lines = block.split(b"\n")[:-1]
        for line in lines:
            try:
                record = decode_line(line)
            except ValueError as error:  # damaged JSON, or not a record
                self.damage = f"after record {self._read_seq}: {error}"
                return False
            if record.seq != self._read_seq + 1:
                self.damage = f"record {record.seq} follows record {self._read_seq}"
                return False
            self._pending.append(record)
            self._read_seq = record.seq
            self._offset += len(line) + 1
        return bool(lines)
