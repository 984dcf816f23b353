"""The job list with more jobs than one search covers."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Route, expect
from sqlalchemy import text

from app.db.engine import Database
from tests.e2e.service import Service
from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]
COPIES = 21_000
"""More than the page searches automatically: 20 requests of 1,000 jobs."""
COPY = """
WITH RECURSIVE counted(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM counted WHERE n <= :copies)
INSERT INTO jobs ({columns}) SELECT {values} FROM jobs, counted WHERE number = 1
"""
CHANGED = {
    "number": "n",
    "id": "printf('job_%024x', n)",
    "spec": "json_set(spec, '$.name', 'copy ' || n)",
}


@pytest.fixture(scope="module")
def many(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with one queued job and its copies."""
    service = Service(tmp_path_factory.mktemp("many"))
    try:
        service.start_broker()
        service.migrate()
        service.start_api()
        data = {"train": {"hub": "team/rows"}}
        oldest = service.post_job(model="team/model", dataset=data, name="the needle")
        database = Database(service.environment["STEPLINE_DATABASE_URL"])
        with database.writing() as session:
            names = list(session.execute(text("SELECT * FROM jobs")).keys())
            values = [CHANGED.get(name, name) for name in names]
            copy = COPY.format(columns=", ".join(names), values=", ".join(values))
            session.execute(text(copy), {"copies": COPIES})
            session.execute(
                text(
                    "INSERT INTO job_texts (number, text, name) "
                    "SELECT number, 'copy', 'copy ' || number FROM jobs WHERE number > 1"
                )
            )
        database.close()
        yield replace(site, service=service, running=oldest)
    finally:
        service.__exit__()


def test_a_search_shows_its_progress_and_can_continue_with_older_jobs(
    visit: Visit, many: Site
) -> None:
    visitor = visit()
    visitor.site = many
    page = visitor.go("/?search=needle&sort=-created_at")

    expect(page.locator("main")).to_contain_text("Searched 20,000 jobs so far.")
    page.get_by_role("button", name="Search more jobs").click()

    expect(page.get_by_role("link", name="the needle")).to_be_visible()
    expect(page.locator("main")).not_to_contain_text("jobs so far")
    assert "cursor=" in page.url


def test_a_queue_position_above_1000_is_shown_as_such(visit: Visit, many: Site) -> None:
    visitor = visit(locale="zh-CN")
    visitor.site = many
    page = visitor.go("/?sort=-created_at")

    expect(page.locator("table.jobs tbody tr").first).to_contain_text("队列第 1,000 位之后")
    page.goto(f"{many.service.url}/jobs/{many.running}")
    expect(page.locator("main")).to_contain_text("队列第 1 位")


def test_all_matching_jobs_are_selected_and_cancelled_together(visit: Visit, many: Site) -> None:
    visitor = visit()
    visitor.site = many
    page = visitor.go("/?sort=name")
    expect(page.get_by_role("button", name="queued 1,000+")).to_be_visible()
    page.locator("thead").get_by_label("Select the jobs on this page").check()
    expect(page.get_by_label("Selected jobs")).to_contain_text("Up to 12 jobs can be compared.")

    page.get_by_role("button", name="Select all that match").click()
    expect(page.get_by_label("Selected jobs")).to_contain_text("1,000 selected")
    # 1,000 ids would make the URL too long for the server.
    assert "ids=" not in page.url
    held: list[Route] = []
    page.route("**/cancel", lambda route: held.append(route))  # noqa: PLW0108  # Playwright sets an attribute on it
    page.get_by_label("Selected jobs").get_by_role("button", name="Cancel", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Cancel 1,000 jobs").click()
    expect(dialog).to_contain_text("0 of 1,000 jobs")
    dialog.get_by_role("button", name="Stop").click()
    for route in held:
        route.continue_()

    expect(dialog).to_contain_text("They are unchanged and still selected.")
    dialog.get_by_role("button", name="Close").click()
    expect(page.get_by_label("Selected jobs")).to_contain_text(f"{1000 - len(held)} selected")
    statuses = page.get_by_role("group", name="Status")
    expect(statuses.get_by_role("button", name=f"cancelled {len(held)}")).to_be_visible()
