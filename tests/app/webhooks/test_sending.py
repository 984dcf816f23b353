"""The addresses to which webhooks may be sent, and the ways in which a try can fail. No database is needed."""

import socket
import threading

import pytest

from app.webhooks.addresses import AddressRefused, UrlRefused, check_url
from app.webhooks.sending import Answer, send


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104  # an address to refuse
        "224.0.0.1",
        "[::1]",
        "[fe80::1]",
        "[fd00::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fec0::1]",
        "192.0.0.192",
        "192.88.99.1",
        "168.63.129.16",
    ],
)
def test_addresses_that_are_not_public_are_refused(host: str) -> None:
    with pytest.raises(AddressRefused):
        check_url(f"https://{host}/", [])


@pytest.mark.parametrize("host", ["1.1.1.1", "[2606:4700::1111]", "example.org"])
def test_public_addresses_and_names_are_accepted(host: str) -> None:
    check_url(f"https://{host}/", [])


@pytest.mark.parametrize(
    "url", ["", "http://", "http://a:99999/", "http://a/#b", "http://a b/", "file:///etc/passwd"]
)
def test_an_invalid_url_is_refused(url: str) -> None:
    with pytest.raises(UrlRefused):
        check_url(url, [])


def test_a_name_that_resolves_to_a_private_address_is_refused_at_each_try() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://localhost:{server.getsockname()[1]}/"

        answer = send(url, {}, "{}", [])

        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert answer == Answer(None, "address_refused")


def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    answers = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://name.invalid:{server.getsockname()[1]}/"
        sender = threading.Thread(
            target=lambda: answers.append(send(url, {}, "{}", [], resolve=lambda *_: "127.0.0.1"))
        )
        sender.start()
        opened, _ = server.accept()
        with opened:
            head = opened.recv(10_000)
            opened.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n")
        sender.join()
    assert b"Host: name.invalid" in head
    assert answers == [Answer(302, "redirect")]


def test_a_receiver_that_sends_one_byte_at_a_time_is_disconnected_at_the_time_limit() -> None:
    is_over = threading.Event()

    def drip(server: socket.socket) -> None:
        opened, _ = server.accept()
        with opened:
            try:
                while not is_over.wait(0.05):
                    opened.sendall(b"H")
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as server:
        dripping = threading.Thread(target=drip, args=(server,))
        dripping.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"

        answer = send(url, {}, "{}", ["127.0.0.1"], seconds=0.3)

        is_over.set()
        dripping.join()
    assert answer == Answer(None, "timeout")


def test_an_https_url_fails_if_the_receiver_does_not_use_tls() -> None:
    def greet(server: socket.socket) -> None:
        opened, _ = server.accept()
        with opened:
            opened.recv(1000)
            opened.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        greeting = threading.Thread(target=greet, args=(server,))
        greeting.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}/"

        answer = send(url, {}, "{}", ["127.0.0.1"])

        greeting.join()
    assert answer == Answer(None, "tls")
