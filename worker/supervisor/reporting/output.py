"""output.log into chunks of whole lines, from the last acknowledged byte."""

from pathlib import Path

from contracts.attempt import OutputChunk
from contracts.base import utc_now

CHUNK_BYTES = 64 * 1024
"""Bytes of one chunk at most; a line longer than that is cut."""
LIVE_BYTES = 8 * 1024 * 1024
"""Bytes sent along with syncs at most; the whole file is uploaded when the attempt ends."""


class Output:
    """Where the training program's output stands."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sent = 0

    def chunk(self, whole: bool = False) -> OutputChunk | None:
        """Return the next lines, or None if there are none. `whole`: nothing will follow, so a last half line counts."""
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
        """Note how many bytes the server has."""
        self._sent = sent
