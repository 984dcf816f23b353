"""Peers, which are the addresses that connections come from, and how much each of them may hold open."""

import contextlib
import ipaddress
from collections import Counter
from collections.abc import AsyncIterator, Iterator

from fastapi import Request

from app.errors.kinds import StreamsFull, TooManyStreams

IPV6_PREFIX = 64
"""Bits of an IPv6 address that name a network. One host can use every address of its network."""


def peer_of(client: tuple[str, int] | None) -> str:
    """Return the peer of an ASGI `client`, host and port: an IPv4 address, an IPv6 /64 network, or "" if it is not known."""
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
    """Limits how many streams and long polls are open, in total and per peer; a limit of 0 is no limit."""

    def __init__(self, most: int, most_per_peer: int) -> None:
        self._most = most
        self._most_per_peer = most_per_peer
        self._held: Counter[str] = Counter()
        self._total = 0

    @property
    def held(self) -> int:
        """How many are taken."""
        return self._total

    @contextlib.contextmanager
    def hold(self, peer: str) -> Iterator[None]:
        """Take a slot for the length of a block. Raises TooManyStreams or StreamsFull if there is none."""
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
    """Hold a slot from before the request is handled until its response has ended. A dependency of routes."""
    slots: Slots = request.app.state.slots
    with slots.hold(peer_of(request.client)):
        yield
