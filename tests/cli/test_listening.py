import socket
from pathlib import Path

import pytest

from cli.listening import CannotListen, find_listener, interface_addresses
from tests.programs.ports import find_free_port

IPV6 = Path("/proc/net/if_inet6")
ALL_IPV4 = "0.0.0.0"  # noqa: S104  # the tests are about this address


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "localhost"])
def test_loopback_addresses_are_not_remote(host: str) -> None:
    listener = find_listener(host, find_free_port())

    assert not listener.is_remote
    assert listener.find_urls() == [f"http://{host}:{listener.port}"]
    assert listener.hosts() == []


@pytest.mark.parametrize("host", [ALL_IPV4, "0", "0x0", "000.0"])
def test_every_spelling_of_the_wildcard_address_is_remote(host: str) -> None:
    listener = find_listener(host, find_free_port())

    assert listener.is_remote
    assert listener.bind_host == ALL_IPV4
    assert listener.local_url == f"http://127.0.0.1:{listener.port}"
    own = [f"http://{address}:{listener.port}" for address in interface_addresses(4)]
    assert listener.find_urls() == [*own, listener.local_url]


def test_the_ipv6_wildcard_address_is_remote_and_reachable_over_ipv6() -> None:
    if not IPV6.exists() or not IPV6.read_text():
        pytest.skip("this kernel has no IPv6")
    listener = find_listener("::", find_free_port())

    assert listener.is_remote
    assert listener.local_url == f"http://[::1]:{listener.port}"


def test_every_listed_address_belongs_to_this_machine() -> None:
    for address in interface_addresses(4):
        with socket.socket() as probe:
            probe.bind((str(address), 0))  # fails if this machine does not have the address


def test_the_hostname_is_allowed_when_other_machines_can_connect() -> None:
    assert socket.gethostname() in find_listener(ALL_IPV4, find_free_port()).hosts()


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("", "empty"),
        ("no.such.host.invalid", "no.such.host.invalid"),
        ("fe80::1%lo", "zone"),
        ("a" * 100, "cannot listen"),
    ],
)
def test_an_invalid_host_is_rejected_with_an_explanation(host: str, why: str) -> None:
    with pytest.raises(CannotListen, match=why):
        find_listener(host, find_free_port())


@pytest.mark.parametrize("port", [-1, 0, 65_536, 99_999])
def test_an_invalid_port_is_rejected_with_an_explanation(port: int) -> None:
    with pytest.raises(CannotListen, match="from 1 to 65535"):
        find_listener("127.0.0.1", port)
