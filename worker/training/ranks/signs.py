"""The ranks' heartbeats, in shared memory.

They show whether each rank makes progress, and which rank the others are waiting for. They also reveal a rank that
cannot run any code, because it is stopped or hangs in a kernel.
"""

import mmap
import struct
import time
from pathlib import Path

_ENTRY = struct.Struct("=dQ")
"""For each rank: the monotonic time of its last heartbeat, and how many joint operations it has reached."""


class Signs:
    """The heartbeats of `count` ranks; this process is `rank`."""

    def __init__(self, rank: int = 0, count: int = 1, path: Path | None = None) -> None:
        self.count = count
        self._rank = rank
        self._memory: mmap.mmap | bytearray = bytearray(_ENTRY.size * count)
        if path is not None:
            with path.open("r+b") as file:
                self._memory = mmap.mmap(file.fileno(), _ENTRY.size * count)

    @staticmethod
    def create(path: Path, count: int) -> None:
        """Create the file for `count` ranks; each is alive now."""
        path.write_bytes(_ENTRY.pack(time.monotonic(), 0) * count)

    def beat(self) -> None:
        """Record a heartbeat."""
        self._write(time.monotonic(), self._read(self._rank)[1])

    def meet(self) -> None:
        """Record that this rank has finished its part and is waiting for the others."""
        self._write(time.monotonic(), self._read(self._rank)[1] + 1)

    def silence(self) -> tuple[int, float]:
        """Return the rank that the others are waiting for, and the seconds since its last heartbeat.

        If there are several such ranks, return the one that has been silent longest.
        """
        entries = [self._read(rank) for rank in range(self.count)]
        fewest = min(meetings for _, meetings in entries)
        last, rank = min((at, rank) for rank, (at, m) in enumerate(entries) if m == fewest)
        return rank, time.monotonic() - last

    def _read(self, rank: int) -> tuple[float, int]:
        at, meetings = _ENTRY.unpack_from(self._memory, rank * _ENTRY.size)
        return at, meetings

    def _write(self, at: float, meetings: int) -> None:
        _ENTRY.pack_into(self._memory, self._rank * _ENTRY.size, at, meetings)
