"""Pages that are opened while the server cannot be reached: they come to be whole by themselves."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]


def test_the_form_comes_once_the_server_is_back(visit: Visit, site: Site) -> None:
    visitor = visit()
    visitor.may_fail = True
    page = visitor.go("/workers")
    expect(page.locator(".workers .card").first).to_be_visible()
    visitor.context.set_offline(True)
    page.keyboard.press("n")
    expect(page.locator(".away")).to_be_visible()
    expect(page.locator("main")).to_contain_text("Loading")

    visitor.context.set_offline(False)

    expect(page.locator("#field-model")).to_be_visible(timeout=10_000)


def test_a_clone_is_one_although_its_job_came_late(visit: Visit, site: Site) -> None:
    visitor = visit()
    visitor.may_fail = True
    page, job = visitor.page, f"**/v1/jobs/{site.finished}"
    page.route(job, lambda route: route.abort())
    with page.expect_event("requestfailed"):
        visitor.go(f"/new?from={site.finished}")

    page.unroute(job)

    expect(page.locator("#field-name")).to_have_value("finished", timeout=10_000)


def test_no_setting_is_said_to_differ_from_defaults_not_known(visit: Visit, site: Site) -> None:
    visitor = visit()
    visitor.may_fail = True
    visitor.page.route("**/openapi.json", lambda route: route.abort())
    page = visitor.go(f"/jobs/{site.finished}")
    configuration = page.get_by_label("Configuration", exact=True)
    expect(configuration).to_contain_text("lora.dropout")
    expect(configuration).not_to_contain_text("Differs from the default")

    page.unroute("**/openapi.json")

    expect(configuration).to_contain_text("Differs from the default", timeout=10_000)
    expect(configuration.locator(".changed")).not_to_contain_text("lora.dropout")
