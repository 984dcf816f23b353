"""Resolves --host and --port of `stepline up` to addresses and URLs, and checks whether other machines can reach them."""

import fcntl
import ipaddress
import re
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

SIOCGIFADDR = 0x8915
"""The ioctl that returns the IPv4 address of a network interface (netdevice(7))."""
HOST_NAME = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?)+(?<!\.)")
LINK_LOCAL_SCOPE = "20"
"""Scope of link-local addresses in /proc/net/if_inet6. Browsers cannot open them because they need a zone."""


class CannotListen(Exception):
    """The API cannot listen on this host and port. The message is shown to the user."""


@dataclass(frozen=True)
class Listener:
    """The host and port that the API will listen on."""

    host: str
    port: int
    addresses: tuple[Address, ...]
    """Addresses that the host resolves to; the API listens on all of them."""

    @property
    def bind_host(self) -> str:
        """The host to listen on. Wildcard addresses are normalized: `0` becomes 0.0.0.0."""
        return str(self.addresses[0]) if self.addresses[0].is_unspecified else self.host

    @property
    def is_remote(self) -> bool:
        """Whether other machines can reach the API."""
        return not all(address.is_loopback for address in self.addresses)

    @property
    def local_url(self) -> str:
        """The API's URL for clients on this machine."""
        address = self.addresses[0]
        if address.is_unspecified:
            return self._url("127.0.0.1" if address.version == 4 else "[::1]")
        return self._url(f"[{self.host}]" if ":" in self.host else self.host)

    def hosts(self) -> list[str]:
        """Return the host names and addresses that other machines can use; empty if they cannot reach the API."""
        if not self.is_remote:
            return []
        concrete = [str(address) for address in self.addresses if not address.is_unspecified]
        name = socket.gethostname()
        if not HOST_NAME.fullmatch(name):  # Linux allows host names that are not valid in URLs
            return concrete
        return [*concrete, name, f"{name}.local"]  # NAME.local resolves by multicast DNS

    def find_urls(self) -> list[str]:
        """Return the URLs to show to the user, starting with those for other machines."""
        found: list[str] = []
        for address in self.addresses:
            if address.is_unspecified:
                found += [self._url(_bracketed(a)) for a in interface_addresses(address.version)]
        return [*found, self.local_url]

    def _url(self, host: str) -> str:
        return f"http://{host}:{self.port}"


def find_listener(host: str, port: int) -> Listener:
    """Resolve --host and --port, and check that the port is free. Raises CannotListen."""
    if not host:
        raise CannotListen(
            "--host is empty. Give an address, or omit --host to listen on 127.0.0.1"
        )
    if "%" in host:
        raise CannotListen(f"--host {host}: a URL cannot contain an IPv6 zone. Use another address")
    if not 0 < port < 2**16:  # getaddrinfo reduces larger ports modulo 65,536
        raise CannotListen(f"--port {port} is out of range. Choose a port from 1 to 65535")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        raise CannotListen(
            f"cannot listen on {host} port {port} ({error}). Choose another port with --port"
        ) from error
    names = [str(each[4][0]).partition("%")[0] for each in found]
    return Listener(host, port, tuple(ipaddress.ip_address(name) for name in dict.fromkeys(names)))


def interface_addresses(version: int) -> list[Address]:
    """Return this machine's addresses of one IP version, except loopback and link-local ones. Linux only."""
    found = _ipv4_addresses() if version == 4 else _ipv6_addresses()
    return [address for address in found if not address.is_loopback]


def _ipv4_addresses() -> list[Address]:
    found: list[Address] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                reply = fcntl.ioctl(any_socket.fileno(), SIOCGIFADDR, request)
            except OSError:  # the interface has no address
                continue
            found.append(ipaddress.IPv4Address(reply[20:24]))
    return found


def _ipv6_addresses() -> list[Address]:
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:  # the kernel does not support IPv6
        return []
    fields = [line.split() for line in lines]
    return [ipaddress.IPv6Address(int(f[0], 16)) for f in fields if f[3] != LINK_LOCAL_SCOPE]


def _bracketed(address: Address) -> str:
    return f"[{address}]" if address.version == 6 else str(address)
