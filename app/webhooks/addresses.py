"""Decides to which URLs and addresses the server may send webhooks.

Anyone who can create endpoints chooses the URLs, so only public addresses are allowed by default. The address of the actual
connection is checked, because a name may resolve to a different address each time.
"""

import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that a NAT64 gateway translates to the IPv4 address in their last 32 bits."""
_SPECIAL = [
    ipaddress.ip_network(each)
    for each in (
        "192.0.0.0/24",  # includes a metadata service
        "192.88.99.0/24",  # the former relays from IPv4 to 6to4
        "168.63.129.16/32",  # the host of a virtual machine on Azure, which gives out its secrets
        "fec0::/10",  # the former site-local addresses
        "3fff::/20",  # documentation
    )
]
"""Networks that are not for public hosts, but that some versions of Python consider public."""


class AddressRefused(Exception):
    """The address is not public, and no allowed network contains it."""


class UrlRefused(ValueError):
    """The URL is not valid for a receiver."""


def check_url(url: str, networks: Sequence[str]) -> None:
    """Check a receiver's URL without a network request. Raises UrlRefused, or AddressRefused for a forbidden literal address."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise UrlRefused(url) from error
    if parts.scheme not in {"http", "https"} or not host or port == 0 or not url.isascii():
        raise UrlRefused(url)
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise UrlRefused(url)
    if any(character.isspace() or not character.isprintable() for character in url):
        raise UrlRefused(url)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return
    check_address(address, networks)


def check_address(address: Address, networks: Sequence[str]) -> None:
    """Raise AddressRefused unless the address is public or in one of the networks."""
    plain = _carried(address)
    allowed = [ipaddress.ip_network(network) for network in networks]
    if any(each in network for each in (address, plain) for network in allowed):
        return
    is_special = any(plain in network for network in _SPECIAL)
    if is_special or not plain.is_global or plain.is_multicast or plain.is_reserved:
        raise AddressRefused(str(address))


def resolve(host: str, port: int, networks: Sequence[str]) -> str:
    """Return an address of the host to which the server may connect.

    Raises OSError if the name cannot be resolved, and AddressRefused if any of its addresses is forbidden.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(sockaddr[0]) for *_, sockaddr in found]
    for address in addresses:
        check_address(ipaddress.ip_address(address), networks)
    return addresses[0]


def _carried(address: Address) -> Address:
    """Return the IPv4 address embedded in an IPv6 address, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address
