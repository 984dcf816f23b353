"""Reads output.log in chunks of whole lines, starting after the last acknowledged byte."""

from pathlib import Path

from contracts.attempt import OutputChunk
from contracts.base import utc_now

CHUNK_BYTES = 64 * 1024
"""Maximum size of a chunk; a longer line is split."""
LIVE_BYTES = 8 * 1024 * 1024
"""Maximum total bytes sent with syncs; the whole file is uploaded when the attempt ends."""


class Output:
    """Tracks how much of the training program's output the server has."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sent = 0

    def chunk(self, whole: bool = False) -> OutputChunk | None:
        """Return the next lines, or None. If `whole`, the file is complete, so an unfinished last line is included."""
        if self._sent >= LIVE_BYTES or not self._path.exists():
            return None
        with self._path.open("rb") as file:
            file.seek(self._sent)
            block = file.read(CHUNK_BYTES)
        end = block.rfind(b"\n") + 1
        if end == 0 and (whole or len(block) == CHUNK_BYTES):
            end = len(block)
        if end == 0:
            return None
        return OutputChunk(
            offset=self._sent,
            text=block[:end].decode(errors="replace"),
            bytes=end,
            at=utc_now(),
        )

    def acknowledge(self, sent: int) -> None:
        """Record how many bytes the server has."""
        self._sent = sent
