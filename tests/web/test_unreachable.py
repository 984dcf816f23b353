"""Pages opened while the server is unreachable: they load without a reload once the server is back."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]


def test_the_form_loads_once_the_server_is_back(visit: Visit, site: Site) -> None:
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


def test_a_cloned_form_is_filled_once_its_job_has_loaded(visit: Visit, site: Site) -> None:
    visitor = visit()
    visitor.may_fail = True
    page, job = visitor.page, f"**/v1/jobs/{site.finished}"
    page.route(job, lambda route: route.abort())
    with page.expect_event("requestfailed"):
        visitor.go(f"/new?from={site.finished}")

    page.unroute(job)

    expect(page.locator("#field-name")).to_have_value("finished", timeout=10_000)


def test_no_setting_is_marked_as_changed_before_the_defaults_have_loaded(
    visit: Visit, site: Site
) -> None:
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
