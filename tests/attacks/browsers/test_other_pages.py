"""Attacks by pages from other origins, in a real Chromium, on a server on the visitor's machine.

The test serves the attacker's pages; every other request goes from the browser to a real server. Two names
resolve to this machine: the attacker's, as after DNS rebinding, and the name of a page that the server trusts.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route

from tests.programs.chromium import running_chromium
from tests.programs.ports import find_free_port
from tests.programs.server_process import Server, migrated, running

EVIL, FRIEND = "evil.example", "friend.example"
OTHER_PORT = find_free_port()
"""No process listens on this port: only pages that the test serves use it."""
TRUSTED = f"http://{FRIEND}:{OTHER_PORT}"
UNTRUSTED = [
    f"http://{EVIL}:{OTHER_PORT}",
    f"http://localhost:{OTHER_PORT}",
    f"http://127.0.0.1:{OTHER_PORT}",
]

READ = "async path => { const a = await fetch(path); return [a.status, await a.text()] }"
FETCH = """async ([url, options]) => {
  try { const answer = await fetch(url, options); return answer.type + " " + answer.status }
  catch (error) { return "failed" }
}"""
UPLOAD = """async url => {
  const form = new FormData();
  form.append("file", new Blob(['[{"instruction": "a", "output": "b"}]']), "rows.json");
  await fetch(url, {method: "POST", mode: "no-cors", body: form});
}"""
SUBMIT = """([url, kind]) => {
  const form = document.createElement("form");
  Object.assign(form, {method: "POST", action: url, enctype: kind});
  document.body.append(form);
  form.submit();
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("server")
    with running(directory, migrated(directory), cors_origins=TRUSTED) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = f"--host-resolver-rules=MAP {EVIL} 127.0.0.1, MAP {FRIEND} 127.0.0.1"
    # Recent browsers ask the user before a page may reach this machine. The server must be safe without that prompt.
    no_prompt = "--disable-features=LocalNetworkAccessChecks"
    with running_chromium(names, no_prompt) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context:
        yield context.new_page()


def visit(page: Page, origin: str) -> None:
    """Open an attacker's page at this origin."""

    def serve(route: Route) -> None:
        route.fulfill(content_type="text/html", body="<!doctype html><title>page</title>")

    page.route(f"{origin}/page", serve)
    page.goto(f"{origin}/page")


def post_by_form(page: Page, url: str, kind: str) -> int:
    """Submit a form without fields, which browsers allow across origins; return the status of the response."""
    with page.expect_navigation(url=url) as navigation:
        page.evaluate(SUBMIT, [url, kind])
    assert navigation.value is not None
    return navigation.value.status


def state(server: Server) -> Any:
    """Return everything that an attacker might want to change."""
    return [server.client.get(path).json()["data"] for path in ("/v1/jobs", "/v1/datasets")]


def test_a_page_can_read_and_change_nothing_after_dns_rebinding(server: Server, page: Page) -> None:
    job = server.post(name="secret").json()["id"]
    before = state(server)
    visit(page, f"http://{EVIL}:{server.port}")

    for path in ("/v1/jobs", f"/v1/jobs/{job}", "/openapi.json"):
        status, text = page.evaluate(READ, path)
        assert (status, "secret" in text) == (421, False)
    options = {"method": "POST", "body": "{}", "headers": {"Content-Type": "application/json"}}
    assert page.evaluate(FETCH, ["/v1/jobs", options]) == "basic 421"
    assert page.evaluate(FETCH, [f"/v1/jobs/{job}", {"method": "DELETE"}]) == "basic 421"
    page.evaluate(UPLOAD, "/v1/datasets")

    assert state(server) == before


@pytest.mark.parametrize("origin", UNTRUSTED, ids=["another name", "localhost", "an address"])
def test_a_page_from_another_origin_can_change_nothing(
    server: Server, page: Page, origin: str
) -> None:
    url = str(server.client.base_url)
    job = server.post().json()["id"]
    before = state(server)

    for action in ("cancel", "pause"):
        target = f"{url}/v1/jobs/{job}/{action}"
        visit(page, origin)
        assert page.evaluate(FETCH, [target, {"method": "POST", "mode": "no-cors"}]) == "opaque 0"
        assert page.evaluate(FETCH, [target, {"method": "POST"}]) == "failed"
        for kind in ("multipart/form-data", "text/plain", "application/x-www-form-urlencoded"):
            visit(page, origin)
            assert post_by_form(page, target, kind) == 403
    visit(page, origin)
    page.evaluate(UPLOAD, f"{url}/v1/datasets")
    assert page.evaluate(FETCH, [f"{url}/v1/jobs/{job}", {"method": "DELETE"}]) == "failed"
    assert page.evaluate(FETCH, [f"{url}/v1/jobs", {}]) == "failed"

    assert state(server) == before


def test_a_sandboxed_frame_is_untrusted_even_in_a_trusted_page(server: Server, page: Page) -> None:
    url = str(server.client.base_url)
    job = server.post().json()["id"]
    before = state(server)
    visit(page, TRUSTED)
    action = f"{url}/v1/jobs/{job}/cancel"
    form = f"<form method=post action={action}></form><script>document.forms[0].submit()</script>"

    with page.expect_console_message(lambda message: "403" in message.text):
        page.evaluate(
            """html => {
              const frame = document.createElement("iframe");
              frame.sandbox = "allow-forms allow-scripts";
              frame.srcdoc = html;
              document.body.append(frame);
            }""",
            form,
        )

    assert state(server) == before


def test_a_trusted_origin_may_read_and_change_jobs(server: Server, page: Page) -> None:
    url = str(server.client.base_url)
    job = server.post().json()["id"]
    visit(page, TRUSTED)

    assert page.evaluate(FETCH, [f"{url}/v1/jobs", {}]) == "cors 200"
    assert page.evaluate(FETCH, [f"{url}/v1/jobs/{job}/cancel", {"method": "POST"}]) == "cors 200"
    assert page.evaluate(FETCH, [f"{url}/v1/jobs/{job}", {"method": "DELETE"}]) == "cors 200"

    assert server.client.get(f"/v1/jobs/{job}").status_code == 404


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_servers_own_page_keeps_working(server: Server, page: Page, host: str) -> None:
    job = server.post().json()["id"]
    page.goto(f"http://{host}:{server.port}/examples/poll.html")

    assert page.evaluate(FETCH, [f"/v1/jobs/{job}/cancel", {"method": "POST"}]) == "basic 200"
    page.evaluate(UPLOAD, "/v1/datasets")
    assert len(server.client.get("/v1/datasets").json()["data"]) == 1
