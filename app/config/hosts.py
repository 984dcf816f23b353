"""Host names and addresses that this server accepts, as a defence against DNS rebinding.

A page at http://evil.example can make its own name resolve to this server's address. The browser then treats the server
as the page's own origin, so the page can read and change everything. The Host header of these requests is evil.example.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LONGEST_HOST = 253
"""Maximum length of a DNS name (RFC 1035)."""
_AUTHORITY = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9_.-]+))(?::(?P<port>[0-9]{0,5}))?"
)
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")


class MalformedHost(ValueError):
    """The text is not a single host with an optional port."""


@dataclass(frozen=True)
class Authority:
    """A host and an optional port, as in a URL or a Host header."""

    host: str
    """In lower case, without brackets or a trailing dot. Addresses are in canonical form."""
    port: int | None


def parse_authority(text: str) -> Authority:
    """Parse `host[:port]`. Raises MalformedHost for anything else, such as a list or a host with a user name or a path."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        raise MalformedHost(text)
    port = int(found["port"]) if found["port"] else None
    if port is not None and port > 65535:
        raise MalformedHost(text)
    return Authority(_plain(found["v6"], found["name"]), port)


def parse_address(host: str) -> Address | None:
    """Return the host as an IP address without its zone (`%eth0`), or None if it is a name."""
    try:
        return _unmapped(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Return whether a host is a loopback address, which other machines cannot reach."""
    address = parse_address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def parse_pattern(text: str) -> str:
    """Normalize an entry of STEPLINE_ALLOWED_HOSTS: a host, `*.suffix` or `*`. Raises ValueError."""
    if text == "*":
        return text
    prefix = "*." if text.startswith("*.") else ""
    rest = text.removeprefix(prefix)
    try:
        authority = parse_authority(f"[{rest}]" if rest.count(":") > 1 and rest[0] != "[" else rest)
    except MalformedHost:
        authority = None
    if authority is None or authority.port is not None:
        raise ValueError(
            f"{text!r} is not a host; use a name or an address without a scheme, port or path, "
            "such as gpu-box, *.example.org or 192.0.2.7"
        )
    return prefix + authority.host


class AllowedHosts:
    """The hosts that requests may use: loopback, the address that the server listens on, and those in the settings."""

    def __init__(self, listens_on: str, patterns: Iterable[str] = ()) -> None:
        address = parse_address(listens_on)
        # A server that listens on all addresses is reachable at any of them, and at addresses that a router or a
        # container publishes. These need no setting: rebinding requires a DNS name, so an IP address in Host is safe.
        self._any_address = address is not None and address.is_unspecified
        patterns = list(patterns)
        self._exact = {str(address or listens_on.lower())}
        self._exact |= {pattern for pattern in patterns if not pattern.startswith("*")}
        self._suffixes = tuple(p.removeprefix("*") for p in patterns if p.startswith("*."))
        self._any = "*" in patterns

    def __contains__(self, host: str) -> bool:
        """Return whether the server accepts requests for this host (a result of parse_authority)."""
        if self._any or host in self._exact or is_loopback(host):
            return True
        if parse_address(host) is not None:
            return self._any_address
        return host.endswith(self._suffixes)


def _plain(v6: str | None, name: str | None) -> str:
    if v6 is not None:
        try:
            return str(_unmapped(ipaddress.IPv6Address(v6)))
        except ipaddress.AddressValueError:
            raise MalformedHost(v6) from None
    plain = (name or "").lower().removesuffix(".")
    if len(plain) > LONGEST_HOST or not _NAME.fullmatch(plain):
        raise MalformedHost(plain)
    return plain


def _unmapped(address: Address) -> Address:
    """Return the IPv4 address of an IPv4-mapped IPv6 address (::ffff:127.0.0.1), and other addresses unchanged."""
    return getattr(address, "ipv4_mapped", None) or address
