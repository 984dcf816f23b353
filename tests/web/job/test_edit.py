"""Editing a job on its page, the archive, notifications, and paths that do not exist."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Route, expect

from tests.app.player import Player
from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]

RECORD_NOTIFICATIONS = """
window.shown = [];
window.asked = 0;
window.Notification = class {
  static permission = 'default';
  static async requestPermission() { window.asked += 1; return (this.permission = 'granted'); }
  constructor(title, options) { window.shown.push([title, options.tag, options.body]); }
};
"""
WARNING = {
    "code": "loss_spike",
    "level": "warning",
    "step": 3,
    "values": {"loss": 7.1, "usual_loss": 2.5, "count": 1},
    "raised_at": "2026-01-01T00:00:00Z",
    "acknowledged": False,
}


@pytest.fixture
def job(site: Site) -> Iterator[str]:
    """A queued job. Tests request this fixture before `visit`, so that its windows close first."""
    player = Player(site.service.client)
    job = player.submit(queue="unserved", name="draft", labels={"team": "web", "old": "1"})
    yield job
    site.service.client.post(f"/v1/jobs/{job}/cancel")
    assert site.service.client.delete(f"/v1/jobs/{job}").status_code in {200, 404}


def test_a_job_is_edited_on_its_page_and_an_edit_by_someone_else_is_noticed(
    job: str, visit: Visit, site: Site
) -> None:
    client = site.service.client
    visitor = visit()
    visitor.may_fail = True
    page = visitor.go(f"/jobs/{job}")
    dialog = page.get_by_role("dialog", name="Edit the job")

    page.get_by_role("button", name="Edit").click()
    with page.expect_response(lambda response: response.request.method == "PATCH"):
        dialog.get_by_label("Name").fill("final run")
        dialog.get_by_label("Labels").fill("team:web\nstage： final")
        dialog.get_by_label("Notes").fill("line one\nline two")
        dialog.get_by_label("Priority").fill("5")
        dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("final run")
    expect(page.locator(".notes")).to_have_text("line one\nline two")
    stored = client.get(f"/v1/jobs/{job}").json()
    assert stored["labels"] == {"team": "web", "stage": "final"}
    assert (stored["priority"], stored["spec"]["name"]) == (5, "draft")

    with page.expect_response(lambda response: response.url.endswith(job)):
        page.get_by_role("button", name="Edit").click()
    expect(dialog.get_by_label("Name")).to_have_value("final run")
    assert client.patch(f"/v1/jobs/{job}", json={"notes": "theirs"}).is_success
    dialog.get_by_label("Name").fill("mine")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("has been edited since")
    dialog.get_by_role("button", name="Overwrite").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("mine")
    assert client.get(f"/v1/jobs/{job}").json()["notes"] == "theirs", "only changed fields are sent"


def test_input_typed_before_the_newest_state_arrives_is_kept(
    job: str, visit: Visit, site: Site
) -> None:
    visitor = visit()
    page = visitor.go(f"/jobs/{job}")
    expect(page.get_by_role("heading", level=1)).to_have_text("draft")
    held: list[Route] = []

    def hold(route: Route) -> None:  # Playwright does not accept a built-in method
        held.append(route)

    page.route(f"**/v1/jobs/{job}", hold)
    dialog = page.get_by_role("dialog", name="Edit the job")
    with page.expect_request(lambda request: request.url.endswith(job)):
        page.get_by_role("button", name="Edit").click()

    dialog.get_by_label("Name").fill("typed early")
    for route in held:
        route.continue_()
    page.unroute(f"**/v1/jobs/{job}")
    dialog.get_by_role("button", name="Save").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("typed early")
    assert site.service.job(job)["name"] == "typed early"


def test_an_archived_job_leaves_the_list_and_can_be_restored(
    job: str, visit: Visit, site: Site
) -> None:
    site.service.client.post(f"/v1/jobs/{job}/cancel").raise_for_status()
    page = visit().go(f"/jobs/{job}")
    page.get_by_role("button", name="Archive").click()
    expect(page.locator("main")).to_contain_text("This job is archived.")

    page.get_by_label("Main").get_by_role("link", name="Jobs").click()
    rows = page.locator("table.jobs tbody tr")
    expect(rows).to_have_count(3)
    page.get_by_role("button", name="archived 1").click()
    expect(rows).to_have_count(1)
    rows.get_by_role("link", name="draft").click()
    page.get_by_role("button", name="Restore from the archive").click()
    expect(page.locator("main")).not_to_contain_text("This job is archived.")


def test_the_bell_asks_for_permission_once_and_announces_when_a_job_is_unhealthy_or_ends(
    job: str, visit: Visit, site: Site
) -> None:
    visitor = visit()
    visitor.page.clock.install()
    visitor.page.add_init_script(RECORD_NOTIFICATIONS)
    page = visitor.go("/")
    assert page.evaluate("window.asked") == 0
    bell = page.locator("table.jobs tr", has_text="draft").locator("button.bell")

    bell.click()

    expect(bell).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".toast")).to_contain_text("You will be notified")
    assert page.evaluate("window.asked") == 1
    page.get_by_label("Main").get_by_role("link", name="Workers").click()

    def add_warning(route: Route) -> None:
        stored = site.service.client.get(f"/v1/jobs/{job}").json()
        route.fulfill(json=stored | {"health": [WARNING]})

    page.route(f"**/v1/jobs/{job}", add_warning)
    for _ in range(2):  # a warning that is already known is not announced again
        with page.expect_response(f"**/v1/jobs/{job}"):
            page.clock.fast_forward(5000)
        expect(page).to_have_title("● draft looks unhealthy · Workers · Stepline")
    assert page.evaluate("window.shown") == [["draft looks unhealthy", job, "Loss spike"]]
    page.unroute(f"**/v1/jobs/{job}")
    page.locator("main").click()
    expect(page).to_have_title("Workers · Stepline")

    site.service.client.post(f"/v1/jobs/{job}/cancel").raise_for_status()
    page.clock.fast_forward(5000)
    page.wait_for_function("() => window.shown.length > 1")
    assert page.evaluate("window.shown[1]") == ["draft: cancelled", job, ""]
    expect(page).to_have_title("● draft: cancelled · Workers · Stepline")
    page.locator("main").click()
    expect(page).to_have_title("Workers · Stepline")


def test_the_bell_says_that_notifications_are_blocked(job: str, visit: Visit, site: Site) -> None:
    visitor = visit(locale="zh-CN")
    blocked = RECORD_NOTIFICATIONS.replace("'granted'", "'denied'")
    visitor.page.add_init_script(blocked)
    page = visitor.go(f"/jobs/{job}")

    page.locator("button.bell").click()

    expect(page.locator(".toast")).to_contain_text("浏览器设置已禁止此网站发送通知")


@pytest.mark.parametrize("path", ["/nothing", "/jobs/a/b", "/jobs"])
def test_an_unknown_path_shows_the_page_with_a_link_back(
    visit: Visit, site: Site, path: str
) -> None:
    visitor = visit()
    visitor.may_fail = True  # the status is 404
    page = visitor.go(path)

    expect(page.get_by_role("alert")).to_contain_text("Page not found.")
    page.get_by_role("link", name="Back to the job list").click()
    expect(page.locator("table.jobs tbody tr")).to_have_count(3)
