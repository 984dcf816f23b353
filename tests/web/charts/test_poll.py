"""The single-file client in examples/ in a browser: it follows a running job, and shows when a job has ended."""

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]


def test_the_polling_client_extends_the_loss_curve(visit: Visit, site: Site) -> None:
    page = visit().go(f"/examples/poll.html?job={site.running}")
    expect(page.get_by_role("status")).to_have_text(
        re.compile(r"^running, step \d+, loss \d+\.\d{4}$")
    )
    points = "() => document.querySelector('path.train').getAttribute('d').split('L').length"
    before = page.evaluate(points)

    page.wait_for_function(f"count => ({points})() >= count", arg=before + 5)

    expect(page.locator("circle").first).to_be_visible()
    expect(page.get_by_label("Job")).to_have_value(site.running)


def test_the_polling_client_shows_that_a_job_has_ended(visit: Visit, site: Site) -> None:
    last = site.service.losses(site.finished)[-1]
    page = visit().go("/examples/poll.html")

    page.get_by_label("Job").select_option(site.finished)
    page.get_by_role("button", name="Show").click()

    page.wait_for_url(f"**/examples/poll.html?job={site.finished}")
    expect(page.get_by_role("status")).to_have_text(
        f"succeeded, step {last['step']}, loss {last['loss']:.4f}"
    )
    expect(page.locator("#last")).to_have_text(f"step {last['step']}")
