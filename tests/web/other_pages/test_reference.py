"""The API page: the complete reference, rendered by Swagger UI from /openapi.json, and "Try it out"."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]


def test_an_endpoint_shows_its_parameters_body_and_examples(visit: Visit) -> None:
    page = visit().go("/docs")
    submit = page.locator(".opblock-post", has=page.locator("[data-path='/v1/jobs']"))

    submit.locator(".opblock-summary").first.click()

    expect(submit.get_by_text("dry_run", exact=True)).to_be_visible()
    expect(submit.get_by_text("Request body").first).to_be_visible()
    expect(submit.locator(".body-param__example").first).to_contain_text('"model"')
    expect(page.locator("[data-path^='/internal/']")).to_have_count(0)


def test_a_request_can_be_tried_on_this_server(visit: Visit, site: Site) -> None:
    page = visit().go("/docs")
    get = page.locator(".opblock-get", has=page.locator("[data-path='/v1/jobs/{job_id}']"))
    get.locator(".opblock-summary").first.click()

    get.get_by_role("button", name="Try it out").click()
    get.get_by_placeholder("job_id").fill(site.finished)
    get.get_by_role("button", name="Execute").click()

    expect(get.locator(".live-responses-table tbody .response-col_status").first).to_contain_text(
        "200"
    )
    expect(get.locator(".live-responses-table")).to_contain_text(site.finished)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_reference_follows_the_theme(visit: Visit, theme: str) -> None:
    page = visit(theme=theme).go("/docs")
    expect(page.locator(".opblock").first).to_be_visible()

    dark = page.evaluate("document.documentElement.classList.contains('dark-mode')")

    assert dark == (theme == "dark")
    page.get_by_role("link", name="Jobs").first.click()
    expect(page.locator(".reference")).to_have_count(0)
    assert not page.evaluate("document.documentElement.classList.contains('dark-mode')")


def test_other_pages_do_not_load_the_renderer(visit: Visit) -> None:
    visitor = visit()
    loaded: list[str] = []
    visitor.page.on("request", lambda request: loaded.append(request.url))

    visitor.go("/")
    expect(visitor.page.locator("table")).to_be_visible()

    assert loaded
    assert not [url for url in loaded if "swagger" in url]
