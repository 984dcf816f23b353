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

    def tail(self, lines: int = 30) -> str:
        """Return the last lines of the output, for a failure's detail."""
        return tail(self._path, lines)


def tail(path: Path, lines: int = 30) -> str:
    """Return the last lines of a text file, at most 8 KiB; empty if there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 8192))
        text = file.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])
