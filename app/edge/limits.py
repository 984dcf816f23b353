"""Limits of a connection; see docs/settings.md, "Slow clients and many connections"."""

from dataclasses import dataclass
from typing import Self

from app.config.settings import Settings


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of a connection. Times are in seconds."""

    header_seconds: float
    """Maximum time to receive a request's head, from the start of the connection or the first byte of a later
    request."""
    idle_seconds: float
    """Maximum time from the end of a response to the first byte of the next request."""
    progress_seconds: float
    """Length of the window in which the client must send or read at least `progress_bytes`."""
    progress_bytes: int
    """At most 64 KiB, the size of uvicorn's buffer. A client that fills the buffer while the application is not reading
    has therefore sent enough."""
    per_peer: int
    """Maximum number of connections per peer; 0 means no limit."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits from the settings."""
        return cls(
            settings.header_seconds,
            settings.idle_seconds,
            settings.progress_seconds,
            settings.progress_bytes,
            settings.connections_per_peer,
        )
