"""DNS rebinding: an attacker's host name resolves to this server, which then receives that name in Host."""

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.app.player import WORKER
from tests.server_process import SPEC, Server, migrated, running

REBOUND = ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example"]
EVERY_KIND_OF_ROUTE = [
    ("GET", "/"),
    ("GET", "/v1/jobs"),
    ("GET", "/openapi.json"),
    ("GET", "/examples/poll.html"),
    ("GET", "/healthz"),
    ("GET", "/nothing"),
    ("POST", "/v1/jobs"),
    ("POST", "/v1/datasets"),
    ("DELETE", "/v1/jobs/job_x"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with default settings for the whole file; its tests leave it as it was."""
    directory = tmp_path_factory.mktemp("server")
    with running(directory, migrated(directory)) as server:
        yield server


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on all addresses of this machine, as in a container, with two allowed names."""
    directory = tmp_path_factory.mktemp("open")
    names = "api, *.Internal.example,"
    everywhere = "0.0.0.0"  # noqa: S104  # what the image does
    with running(directory, migrated(directory), host=everywhere, allowed_hosts=names) as server:
        yield server


def ask(server: Server, request: str) -> tuple[int, dict[str, Any]]:
    """Send the raw bytes of a request; return the status and the error of the response."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(request.encode("latin-1"))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    error = {}
    with contextlib.suppress(ValueError):
        error = json.loads(body).get("error", {})
    return int(head.split()[1]), error


def get_with_host(host: str, path: str = "/v1/jobs") -> str:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(("method", "path"), EVERY_KIND_OF_ROUTE)
def test_no_route_answers_to_a_rebound_name(server: Server, method: str, path: str) -> None:
    answer = server.client.request(method, path, headers={"Host": "evil.example"})

    assert answer.status_code == 421
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("host_not_allowed", "Host")
    assert "evil.example" in error["message"]
    assert "STEPLINE_ALLOWED_HOSTS" in error["message"] + error["hint"]
    assert answer.headers["x-request-id"]


def test_workers_may_call_the_server_by_any_name_for_their_token_opens_no_page(
    server: Server,
) -> None:
    rebound = {"Host": "evil.example"}
    hello = "/internal/v1/workers"

    assert server.client.post(hello, json={}, headers=rebound).status_code == 401
    answer = server.client.post(hello, json={}, headers=WORKER | rebound)
    assert answer.status_code == 400, "let in, and told what its body lacks"
    assert server.client.get("/internal/../v1/jobs", headers=rebound).status_code in {404, 421}


def test_a_rebound_page_can_neither_submit_nor_delete_and_others_go_on(server: Server) -> None:
    mine = server.post().json()["id"]
    before = server.client.get("/v1/jobs").json()["data"]
    for name in REBOUND:
        page = {"Host": name, "Origin": f"http://{name}"}
        assert server.client.post("/v1/jobs", json=SPEC, headers=page).status_code == 421
        assert server.client.delete(f"/v1/jobs/{mine}", headers=page).status_code == 421

    assert server.client.get("/v1/jobs").json()["data"] == before


def test_the_refusal_is_in_the_language_of_the_caller(server: Server) -> None:
    headers = {"Host": "evil.example", "Accept-Language": "zh-CN"}
    error = server.client.get("/", headers=headers).json()["error"]

    assert "evil.example" in error["message"]
    assert any("\u4e00" <= letter <= "\u9fff" for letter in error["message"])
    assert "STEPLINE_ALLOWED_HOSTS" in error["message"] + error["hint"]


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:1",
        "localhost.:65535",
        "127.0.0.1",
        "127.9.8.7:80",
        "[::1]",
        "[::1]:8000",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
    ],
)
def test_names_of_this_machine_are_served_whatever_the_port(server: Server, host: str) -> None:
    assert ask(server, get_with_host(host))[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example@127.0.0.1",
        "127.0.0.1@evil.example",
        "127.0.0.1,evil.example",
        "127.0.0.1 evil.example",
        "localhost/evil.example",
        "localhost#.evil.example",
        "localhost:80:80",
        "localhost:http",
        "localhost:65536",
        "localhost..",
        ":8000",
        "",
        "::1",
        "[::1",
        "[::1]evil.example",
        "[fe80::1%25eth0]",
        "[127.0.0.1]",
        "loc%61lhost",
        "l\u00f6calhost",
        "a" * 300,
    ],
)
def test_a_host_that_is_no_host_is_refused(server: Server, host: str) -> None:
    status, error = ask(server, get_with_host(host))

    assert status == 400
    assert error.get("code", "invalid_host") == "invalid_host"  # the parser rejects some of them


@pytest.mark.parametrize("host", ["192.0.2.7", "[::]", "[2001:db8::1]", "2130706433", "127.1"])
def test_a_server_on_loopback_answers_to_no_other_address(server: Server, host: str) -> None:
    status, error = ask(server, get_with_host(host))

    assert (status, error["code"]) == (421, "host_not_allowed")


def test_two_hosts_or_none_are_refused(server: Server) -> None:
    both = "GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    none = "GET /v1/jobs HTTP/1.1\r\nConnection: close\r\n\r\n"

    assert ask(server, both)[0] == 400
    assert ask(server, none)[0] == 400


def test_http_1_0_has_no_host_and_no_browser_speaks_it(server: Server) -> None:
    assert ask(server, "GET /healthz HTTP/1.0\r\n\r\n")[0] == 200
    assert ask(server, "GET /v1/jobs HTTP/1.0\r\nHost: evil.example\r\n\r\n")[0] == 421


def test_an_absolute_target_opens_nothing(server: Server) -> None:
    for host, target in [("localhost", "evil.example"), ("evil.example", "localhost")]:
        status, _ = ask(server, get_with_host(host, f"http://{target}/v1/jobs"))
        assert status in {404, 421}


def test_a_forwarded_host_is_not_believed(server: Server) -> None:
    headers = {
        "Host": "evil.example",
        "X-Forwarded-Host": "localhost",
        "Forwarded": "host=localhost",
    }

    assert server.client.get("/v1/jobs", headers=headers).status_code == 421


def test_a_server_on_all_addresses_answers_to_addresses_and_to_named_hosts_alone(
    open_server: Server,
) -> None:
    for host in ["api:8000", "API.", "gpu.internal.example", "a.b.internal.example:80"]:
        assert ask(open_server, get_with_host(host))[0] == 200, host
    for host in [
        "10.0.0.5:8000",
        "[2001:db8::1]",
        "127.0.0.1",
        "localhost:9",
    ]:  # probes, published ports
        assert ask(open_server, get_with_host(host))[0] == 200, host
    for host in ["evil.example", "internal.example", "evilinternal.example", "api.evil.example"]:
        assert ask(open_server, get_with_host(host))[0] == 421, host


def test_listening_beyond_this_machine_is_warned_of_in_the_log(
    server: Server, open_server: Server
) -> None:
    def warnings(of: Server) -> list[str]:
        return [line["host"] for line in of.log_lines() if "listening beyond" in line["event"]]

    assert warnings(server) == []
    assert warnings(open_server) == ["0.0.0.0"]  # noqa: S104  # compared, not bound
