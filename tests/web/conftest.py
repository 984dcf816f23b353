"""One service with a finished, a failed and a running job, and a Chromium that records errors and requests to other hosts."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from contracts.attempt import WorkerInfo
from contracts.protocol.wire import HELLO_PATH
from tests.e2e.conftest import make_job, place_model
from tests.e2e.service import WORKER_TOKEN, Service
from tests.programs.chromium import running_chromium
from tests.tiny_model import make_tiny_qwen2

ENDLESS = 1_000_000
WAIT_MS = 30_000
POINTS = r"""count => {
  const note = [...document.querySelectorAll('.charts > .note')].map(one => one.textContent).join(' ');
  const found = /([\d,]+)(?: points| 个点)/.exec(note);
  return found !== null && Number(found[1].replaceAll(',', '')) >= count;
}"""
ROOT = Path(__file__).parent.parent.parent


LARGE_BYTES = 1_000_000
"""Size from which the service checks a dataset file after the response."""


@dataclass(frozen=True)
class Site:
    """A running service and the jobs in it."""

    service: Service
    finished: str
    failed: str
    running: str

    def announce(self, worker: WorkerInfo) -> None:
        """Send a worker's hello."""
        self.service.client.post(
            HELLO_PATH,
            content=worker.model_dump_json(),
            headers={"Authorization": f"Bearer {WORKER_TOKEN}", "Content-Type": "application/json"},
        ).raise_for_status()

    @property
    def paths(self) -> list[str]:
        """One path for each kind of page."""
        return [
            "/",
            f"/jobs/{self.running}",
            f"/jobs/{self.finished}",
            f"/jobs/{self.failed}",
            f"/compare?ids={self.finished},{self.running}",
            "/new",
            "/datasets",
            "/workers",
            "/docs",
        ]


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    settings = {"STEPLINE_BACKGROUND_BYTES": str(LARGE_BYTES)}
    with Service(tmp_path_factory.mktemp("site"), **settings) as service:
        place_model(service, make_tiny_qwen2(tmp_path_factory.mktemp("models") / "tiny-qwen2"))
        failed = service.post_job(**make_job(service, steps=1) | {"model": "missing/model"})
        finished = service.post_job(**make_job(service, rows=40) | {"name": "finished"})
        frequent = {"evaluation": {"every_steps": 40}, "checkpoint": {"every_steps": 40}}
        running = service.post_job(
            **make_job(service, steps=ENDLESS)
            | frequent
            | {"name": "running", "labels": {"team": "web"}}
        )
        service.wait_for_end(finished, 90)
        assert service.job(failed)["status"] == "failed"
        service.wait_for_step(running, 3, 90)
        yield Site(service, finished, failed, running)
        service.cancel(running)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


class Visitor:
    """A browser window whose console and requests are recorded."""

    def __init__(self, context: BrowserContext, site: Site) -> None:
        self.site = site
        self.context = context
        self.page = context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.errors: list[str] = []
        self.foreign_requests: list[str] = []
        self.may_fail = False
        """Whether requests may fail. Tests set it before they make the server unreachable or send invalid requests."""
        self.page.on("console", lambda message: self._on_console(message.type, message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self._on_request(request.url))

    def _on_console(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and not (self.may_fail and "Failed to load" in text):
            self.errors.append(text)

    def _on_request(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"data", "blob"} and parts.port != self.site.service.port:
            self.foreign_requests.append(url)

    def go(self, path: str) -> Page:
        """Open a path of the site."""
        self.page.goto(self.site.service.url + path)
        return self.page

    def probe(self, script: str) -> None:
        """Replace the page's script with one that also sets `window.__stepline`."""
        self.context.route(
            "**/assets/index-*.js",
            lambda route: route.fulfill(body=script, content_type="text/javascript"),
        )

    def plotted(self) -> Any:
        """Return the points and the zoom of the loss chart. Only a probed window exposes them."""
        return json.loads(self.page.evaluate("JSON.stringify(window.__stepline)"))

    def wait_for_points(self, count: int) -> None:
        """Wait until the loss chart shows a total of at least `count` points."""
        self.page.wait_for_function(POINTS, arg=count, timeout=3 * WAIT_MS)


@pytest.fixture(scope="package")
def probed_script(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page's script, built from the same sources but with `window.__stepline`."""
    build = tmp_path_factory.mktemp("probed")
    subprocess.run([ROOT / "script" / "page", "--probed", build], check=True)
    (script,) = (build / "assets").glob("index-*.js")
    return script.read_text()


@pytest.fixture
def visit(
    browser: Browser, site: Site, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Visitor]]:
    """Open browser windows; the test fails if one logs an error or sends a request to another host.

    A window shows the published page. With `probed`, its script exposes the points of the loss chart.
    """
    visitors: list[Visitor] = []
    site.service.lower_training_priority()

    def open_window(
        width: int = 1280,
        locale: str = "en-US",
        theme: Any = "light",
        *,
        probed: bool = False,
        **options: Any,
    ) -> Visitor:
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            locale=locale,
            color_scheme=theme,
            **options,
        )
        visitors.append(Visitor(context, site))
        if probed:
            visitors[-1].probe(request.getfixturevalue("probed_script"))
        return visitors[-1]

    yield open_window
    for visitor in visitors:
        visitor.context.close()
    assert [error for visitor in visitors for error in visitor.errors] == []
    assert [url for visitor in visitors for url in visitor.foreign_requests] == []
