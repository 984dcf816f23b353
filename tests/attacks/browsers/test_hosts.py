"""DNS rebinding: an attacker's host name resolves to this server, which then receives that name in Host."""

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.app.player import WORKER
from tests.programs.server_process import SPEC, Server, migrated, running

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
    """Yield one server with default settings for the whole file; the tests do not change it."""
    directory = tmp_path_factory.mktemp("server")
    with running(directory, migrated(directory)) as server:
        yield server


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server that listens on all addresses, as in a container, and allows two host names."""
    directory = tmp_path_factory.mktemp("open")
    names = "api, *.Internal.example,"
    everywhere = "0.0.0.0"  # noqa: S104  # as in the image
    with running(directory, migrated(directory), host=everywhere, allowed_hosts=names) as server:
        yield server


def send_raw(server: Server, request: str) -> tuple[int, dict[str, Any]]:
    """Send the raw bytes of a request; return the status and the error of the response."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(request.encode("latin-1"))
        response = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = response.partition(b"\r\n\r\n")
    error = {}
    with contextlib.suppress(ValueError):
        error = json.loads(body).get("error", {})
    return int(head.split()[1]), error


def get_with_host(host: str, path: str = "/v1/jobs") -> str:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(("method", "path"), EVERY_KIND_OF_ROUTE)
def test_no_route_serves_a_rebound_host_name(server: Server, method: str, path: str) -> None:
    response = server.client.request(method, path, headers={"Host": "evil.example"})

    assert response.status_code == 421
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("host_not_allowed", "Host")
    assert "evil.example" in error["message"]
    assert "STEPLINE_ALLOWED_HOSTS" in error["message"] + error["hint"]
    assert response.headers["x-request-id"]


def test_workers_may_call_the_server_by_any_host_name(
    server: Server,
) -> None:
    rebound = {"Host": "evil.example"}
    hello = "/internal/v1/workers"

    assert server.client.post(hello, json={}, headers=rebound).status_code == 401
    response = server.client.post(hello, json={}, headers=WORKER | rebound)
    assert response.status_code == 400, "accepted, but its body is incomplete"
    assert server.client.get("/internal/../v1/jobs", headers=rebound).status_code in {404, 421}


def test_a_rebound_page_can_neither_submit_nor_delete_jobs(server: Server) -> None:
    mine = server.post().json()["id"]
    before = server.client.get("/v1/jobs").json()["data"]
    for name in REBOUND:
        page = {"Host": name, "Origin": f"http://{name}"}
        assert server.client.post("/v1/jobs", json=SPEC, headers=page).status_code == 421
        assert server.client.delete(f"/v1/jobs/{mine}", headers=page).status_code == 421

    assert server.client.get("/v1/jobs").json()["data"] == before


def test_a_rejection_is_in_the_callers_language(server: Server) -> None:
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
def test_names_of_this_machine_are_allowed_with_any_port(server: Server, host: str) -> None:
    assert send_raw(server, get_with_host(host))[0] == 200


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
def test_an_invalid_host_header_is_rejected(server: Server, host: str) -> None:
    status, error = send_raw(server, get_with_host(host))

    assert status == 400
    assert error.get("code", "invalid_host") == "invalid_host"  # the parser rejects some of them


@pytest.mark.parametrize("host", ["192.0.2.7", "[::]", "[2001:db8::1]", "2130706433", "127.1"])
def test_a_server_on_loopback_rejects_other_addresses(server: Server, host: str) -> None:
    status, error = send_raw(server, get_with_host(host))

    assert (status, error["code"]) == (421, "host_not_allowed")


def test_a_request_with_two_hosts_or_none_is_rejected(server: Server) -> None:
    both = "GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    none = "GET /v1/jobs HTTP/1.1\r\nConnection: close\r\n\r\n"

    assert send_raw(server, both)[0] == 400
    assert send_raw(server, none)[0] == 400


def test_an_http_1_0_request_needs_no_host(server: Server) -> None:
    assert send_raw(server, "GET /healthz HTTP/1.0\r\n\r\n")[0] == 200
    assert send_raw(server, "GET /v1/jobs HTTP/1.0\r\nHost: evil.example\r\n\r\n")[0] == 421


def test_an_absolute_request_target_does_not_bypass_the_host_check(server: Server) -> None:
    for host, target in [("localhost", "evil.example"), ("evil.example", "localhost")]:
        status, _ = send_raw(server, get_with_host(host, f"http://{target}/v1/jobs"))
        assert status in {404, 421}


def test_a_forwarded_host_header_is_ignored(server: Server) -> None:
    headers = {
        "Host": "evil.example",
        "X-Forwarded-Host": "localhost",
        "Forwarded": "host=localhost",
    }

    assert server.client.get("/v1/jobs", headers=headers).status_code == 421


def test_a_server_on_all_addresses_allows_only_addresses_and_configured_names(
    open_server: Server,
) -> None:
    for host in ["api:8000", "API.", "gpu.internal.example", "a.b.internal.example:80"]:
        assert send_raw(open_server, get_with_host(host))[0] == 200, host
    for host in [
        "10.0.0.5:8000",
        "[2001:db8::1]",
        "127.0.0.1",
        "localhost:9",
    ]:  # probes, published ports
        assert send_raw(open_server, get_with_host(host))[0] == 200, host
    for host in ["evil.example", "internal.example", "evilinternal.example", "api.evil.example"]:
        assert send_raw(open_server, get_with_host(host))[0] == 421, host


def test_the_log_warns_about_listening_beyond_this_machine(
    server: Server, open_server: Server
) -> None:
    def warnings(of: Server) -> list[str]:
        return [
            line["host"] for line in of.log_lines() if "without authentication" in line["event"]
        ]

    assert warnings(server) == []
    assert warnings(open_server) == ["0.0.0.0"]  # noqa: S104  # compared, not bound
