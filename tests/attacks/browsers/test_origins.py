"""Cross-site requests: a page that a user visits makes the browser send requests to this server."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.programs.server_process import SPEC, TOKEN, Server, migrated, running

FRIEND = "https://friend.example"
ROWS = b'[{"instruction": "a", "output": "b"}]'
CROSS_SITE = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
FOREIGN = [
    CROSS_SITE,
    {"Origin": "https://evil.example"},  # a browser that does not send Sec-Fetch-Site
    {"Origin": "null", "Sec-Fetch-Site": "cross-site"},  # a sandboxed frame, a file
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "https://127.0.0.1@evil.example"},
    {"Origin": "http://127.0.0.1:1"},  # another program on this machine
    {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"},
    {"Origin": "chrome-extension://abcdefghijklmnop"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "unheard-of"},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server that allows the pages of two origins."""
    directory = tmp_path_factory.mktemp("server")
    origins = f"{FRIEND}, https://Other.example/"
    with running(directory, migrated(directory), cors_origins=origins) as server:
        yield server


def test_a_page_from_another_site_can_change_nothing(server: Server) -> None:
    job = server.post().json()["id"]
    before = server.client.get("/v1/jobs").json()["data"]
    dataset = {"file": ("rows.json", ROWS)}
    for headers in FOREIGN:
        responses = [
            server.client.post(f"/v1/jobs/{job}/cancel", headers=headers),
            server.client.post(f"/v1/jobs/{job}/pause", headers=headers),
            server.client.post("/v1/datasets", files=dataset, headers=headers),
            server.client.post("/v1/jobs", json=SPEC, headers=headers),
            server.client.delete(f"/v1/jobs/{job}", headers=headers),
            server.client.put("/v1/jobs", headers=headers),
            server.client.request("FROBNICATE", "/v1/jobs", headers=headers),
        ]
        assert {response.status_code for response in responses} == {403}, headers

    assert server.client.get("/v1/jobs").json()["data"] == before
    assert server.client.get("/v1/datasets").json()["data"] == []


def test_a_rejection_states_its_reason_and_the_next_step_in_both_languages(server: Server) -> None:
    def reject(language: str) -> dict[str, str]:
        headers = CROSS_SITE | {"Accept-Language": language}
        response = server.client.post("/v1/jobs", json=SPEC, headers=headers)
        found: dict[str, str] = response.json()["error"]
        return found

    english, chinese = reject("en"), reject("zh")
    assert english["code"] == chinese["code"] == "origin_not_allowed"
    assert (english["type"], english["param"]) == ("permission_error", "Origin")
    for error in (english, chinese):
        assert "https://evil.example" in error["message"]
        assert "STEPLINE_CORS_ORIGINS" in error["hint"]
    assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese["message"])


@pytest.mark.parametrize(
    "headers",
    [
        {},  # curl, SDKs, workers
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:{port}"},  # the page
        {"Origin": "http://127.0.0.1:{port}"},  # the page over plain HTTP on a local network
        {"Sec-Fetch-Site": "none"},  # a user typed the address
        {
            "Sec-Fetch-Site": "none",
            "Origin": "chrome-extension://abcdefghijklmnop",
        },  # an extension with permission
        {"Host": "localhost:8000", "Origin": "https://localhost:8000"},  # a proxy terminates TLS
        {"Host": "localhost", "Origin": "https://localhost"},
        {"Host": "localhost:443", "Origin": "https://localhost"},
        {"Host": "localhost:80", "Origin": "http://LOCALHOST"},
        {"Host": "[::1]:8000", "Origin": "http://[::1]:8000"},
        # The development server of web/, or a proxy that replaces Host: the browser reports the same origin.
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:5173"},
        {"Origin": FRIEND, "Sec-Fetch-Site": "cross-site"},
        {"Origin": FRIEND},
        {"Origin": "https://other.example"},
    ],
)
def test_own_pages_trusted_origins_and_clients_other_than_browsers_may_write(
    server: Server, headers: dict[str, str]
) -> None:
    headers = {name: value.format(port=server.port) for name, value in headers.items()}
    response = server.client.post("/v1/jobs", json=SPEC, headers=headers)

    assert response.status_code == 201


def test_a_request_with_two_origins_is_rejected(server: Server) -> None:
    headers = httpx2.Headers([("Origin", FRIEND), ("Origin", "https://evil.example")])

    assert server.client.post("/v1/jobs", json=SPEC, headers=headers).status_code == 403


def test_cors_controls_which_origins_may_read(server: Server) -> None:
    response = server.client.get("/v1/jobs", headers=CROSS_SITE)
    assert response.status_code == 200
    assert "access-control-allow-origin" not in response.headers
    assert server.client.head("/v1/jobs", headers=CROSS_SITE).status_code == 405
    friend = server.client.get("/v1/jobs", headers={"Origin": FRIEND})
    assert friend.headers["access-control-allow-origin"] == FRIEND


def test_a_preflight_request_succeeds_only_for_a_trusted_origin(server: Server) -> None:
    def preflight(origin: str) -> httpx2.Response:
        headers = {"Access-Control-Request-Method": "DELETE", "Sec-Fetch-Site": "cross-site"}
        return server.client.options("/v1/jobs/job_x", headers=headers | {"Origin": origin})

    allowed = preflight(FRIEND)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == FRIEND
    assert "access-control-allow-origin" not in preflight("https://evil.example").headers


def test_a_trusted_origin_can_read_why_its_request_was_rejected(server: Server) -> None:
    headers = {"Host": "gpu-box:8000", "Origin": FRIEND}
    response = server.client.get("/v1/jobs", headers=headers)

    assert response.status_code == 421
    assert response.headers["access-control-allow-origin"] == FRIEND


def test_a_page_cannot_use_a_stolen_worker_token(server: Server) -> None:
    headers = CROSS_SITE | {"Authorization": f"Bearer {TOKEN}"}

    assert server.client.post("/internal/v1/claim", json={}, headers=headers).status_code == 403
