"""The page without a mouse: the focused element can be activated, and the header can be skipped."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]


def test_enter_activates_the_focused_element_in_the_job_list(visit: Visit, site: Site) -> None:
    visitor = visit()
    page = visitor.go("/")
    expect(page.locator("table.jobs tbody tr")).to_have_count(3)
    failed = page.get_by_role("button", name="failed")

    failed.focus()
    page.keyboard.press("Enter")

    expect(failed).to_have_attribute("aria-pressed", "true")
    failed.press("Enter")
    expect(failed).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("j")  # selects the first row, not the one that is focused next
    page.locator("table.jobs").get_by_role("link", name="finished").focus()

    page.keyboard.press("Enter")

    page.wait_for_url(f"**/jobs/{site.finished}")


def test_the_header_can_be_skipped(visit: Visit, site: Site) -> None:
    visitor = visit()
    page = visitor.go("/")
    expect(page.locator("table.jobs tbody tr")).to_have_count(3)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()

    page.keyboard.press("Enter")

    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("main").get_by_role("link", name="New job")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/new")
