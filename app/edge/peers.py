"""Peers (client addresses), and limits on each peer's streams and long polls."""

import contextlib
import ipaddress
from collections import Counter
from collections.abc import AsyncIterator, Iterator

from fastapi import Request

from app.errors.kinds import StreamsFull, TooManyStreams

IPV6_PREFIX = 64
"""Prefix length of an IPv6 network. A host can use any address in its network."""


def peer_of(client: tuple[str, int] | None) -> str:
    """Return the peer of an ASGI `client` (host and port): an IPv4 address, an IPv6 /64 network, or "" if unknown."""
    host = client[0] if client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), IPV6_PREFIX), strict=False))


class Slots:
    """Limits the number of open streams and long polls, in total and per peer; 0 means no limit."""

    def __init__(self, most: int, most_per_peer: int) -> None:
        self._most = most
        self._most_per_peer = most_per_peer
        self._held: Counter[str] = Counter()
        self._total = 0

    @property
    def held(self) -> int:
        """Number of slots in use."""
        return self._total

    @contextlib.contextmanager
    def hold(self, peer: str) -> Iterator[None]:
        """Hold a slot for the duration of the block. Raises TooManyStreams or StreamsFull if none is free."""
        if self._most_per_peer and self._held[peer] >= self._most_per_peer:
            raise TooManyStreams(limit=self._most_per_peer)
        if self._most and self._total >= self._most:
            raise StreamsFull(limit=self._most)
        self._held[peer] += 1
        self._total += 1
        try:
            yield
        finally:
            self._total -= 1
            self._held[peer] -= 1
            if not self._held[peer]:
                del self._held[peer]


async def hold_slot(request: Request) -> AsyncIterator[None]:
    """A route dependency that holds a slot until the response has been sent."""
    slots: Slots = request.app.state.slots
    with slots.hold(peer_of(request.client)):
        yield
