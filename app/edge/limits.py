"""Limits of a connection; see docs/settings.md, "Slow clients and many connections"."""

from dataclasses import dataclass
from typing import Self

from app.config.settings import Settings


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of a connection. Times are in seconds."""

    header_seconds: float
    """From accepting the connection, or from the first byte of a later request, to the end of the request's head."""
    idle_seconds: float
    """From the end of a response to the first byte of the next request."""
    progress_seconds: float
    """The window in which a body must arrive, or a response be taken, by at least `progress_bytes`."""
    progress_bytes: int
    """At most uvicorn's buffer of 64 KiB: a window that the application ends by not reading then made progress."""
    per_peer: int
    """Most connections of one peer; 0 is no limit."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits that the settings give."""
        return cls(
            settings.header_seconds,
            settings.idle_seconds,
            settings.progress_seconds,
            settings.progress_bytes,
            settings.connections_per_peer,
        )
