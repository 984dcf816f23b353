"""Rows of the job list: opening, selecting, sorting, and actions on many jobs with an error for each job that was rejected."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.app.player import Player
from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]


@pytest.fixture
def queued(site: Site) -> Iterator[list[str]]:
    """Five jobs in a queue without a worker. Tests request this fixture before `visit`, so that its windows close first."""
    player = Player(site.service.client)
    jobs = [
        player.submit(queue="unserved", name=f"bulk {n}", labels={"batch": "one"}) for n in range(5)
    ]
    yield jobs
    for job in jobs:
        site.service.client.post(f"/v1/jobs/{job}/cancel")
        assert site.service.client.delete(f"/v1/jobs/{job}").status_code in {200, 404}


def act(page: Page, button: str, confirm: str) -> None:
    page.get_by_label("Selected jobs").get_by_role("button", name=button, exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name=confirm, exact=True).click()


def test_running_jobs_come_first_and_a_heading_changes_the_order(
    queued: list[str], visit: Visit, site: Site
) -> None:
    page = visit().go("/")
    names = page.locator("table.jobs td.name a")
    expect(names).to_have_count(8)
    assert names.all_inner_texts()[:6] == ["running", *[f"bulk {n}" for n in range(5)]], (
        "queued jobs are in the order in which they will run"
    )

    page.get_by_role("button", name="Job", exact=True).click()

    expect(names.first).to_have_text("bulk 0")
    sorted_by = page.locator("th[aria-sort=ascending]")
    expect(sorted_by).to_have_text("Job ↑")
    assert "sort=name" in page.url
    page.get_by_role("button", name="Loss", exact=True).click()
    expect(sorted_by).to_have_text("Loss ↑")
    left = page.locator("table.jobs tr", has_text="finished").locator("td.left")
    expect(left).to_have_text(re.compile("^took "))
    losses = page.locator("table.jobs td.course")
    expect(losses.first).to_contain_text("eval")
    expect(losses.last).not_to_contain_text("eval")


def test_the_filters_show_counts_and_a_queue_without_a_worker_is_named(
    queued: list[str], visit: Visit, site: Site
) -> None:
    page = visit().go("/")
    chips = page.get_by_role("group", name="Status")

    expect(chips.get_by_role("button", name="queued 5")).to_be_visible()
    expect(chips.get_by_role("button", name="failed 1")).to_be_visible()
    expect(page.locator(".unserved")).to_contain_text("STEPLINE_QUEUE=unserved stepline worker")
    page.get_by_label("Label", exact=True).fill("batch")
    expect(chips.get_by_role("button", name="failed 0")).to_be_visible()
    expect(page.locator("table.jobs tbody tr")).to_have_count(5)


def test_a_queued_job_takes_little_space_on_a_phone(
    queued: list[str], visit: Visit, site: Site
) -> None:
    page = visit(width=390).go("/?label=batch")
    row = page.locator("table.jobs tbody tr").first
    expect(row).to_contain_text("queued")

    row_box, name_box = row.bounding_box(), row.locator("td.name").bounding_box()

    assert row_box is not None
    assert name_box is not None
    assert row_box["height"] < 110
    assert name_box["width"] > 0.8 * row_box["width"]
    assert row.locator("progress").is_hidden()
    # No word of the menu is broken across lines.
    heights = page.locator("header.top nav a").evaluate_all(
        "links => links.map(link => link.offsetHeight)"
    )
    assert max(heights) < 40
    row.locator("td.name a").click()
    title = page.get_by_role("heading", level=1).bounding_box()
    assert title is not None
    assert title["height"] < 40, "its place in the queue leaves no room for the job's name"
    # Nothing has been measured yet.
    expect(page.get_by_text("No attempts yet.")).to_be_visible()
    expect(page.locator(".tiles")).to_have_count(0)


def test_a_row_opens_its_job_with_a_click_but_not_while_text_is_selected(
    visit: Visit, site: Site
) -> None:
    visitor = visit()
    page = visitor.go("/")
    cell = page.locator("table.jobs tbody tr", has_text="finished").locator("td.amount small")

    box = cell.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 1, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    assert page.evaluate("String(getSelection())").strip()
    assert page.url.rstrip("/") == visitor.site.service.url
    with visitor.context.expect_page() as opened:
        cell.click(button="middle")
    assert opened.value.url.endswith(site.finished)
    opened.value.close()
    with visitor.context.expect_page() as opened:
        cell.click(modifiers=["ControlOrMeta"])
    opened.value.close()
    cell.click()

    page.wait_for_url(f"**/jobs/{site.finished}")


def test_selected_jobs_are_labelled_cancelled_archived_and_deleted_together(
    queued: list[str], visit: Visit, site: Site
) -> None:
    client = site.service.client
    visitor = visit()
    visitor.may_fail = True  # a running job cannot be archived or deleted
    page = visitor.go("/?label=batch:one")
    rows = page.locator("table.jobs tbody tr")
    expect(rows).to_have_count(5)

    page.locator("thead").get_by_label("Select the jobs on this page").check()
    expect(page.get_by_label("Selected jobs")).to_contain_text("5 selected")
    page.get_by_label("Selected jobs").get_by_role("button", name="Label").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Change 5 jobs")).to_be_disabled()
    dialog.get_by_label("Label to change").fill("stage: final")
    dialog.get_by_role("button", name="Change 5 jobs").click()
    expect(dialog).to_contain_text("Done for 5 of 5 jobs.")
    dialog.get_by_role("button", name="Close").click()
    assert client.get(f"/v1/jobs/{queued[2]}").json()["labels"] == {
        "batch": "one",
        "stage": "final",
    }

    ids = ",".join([*queued, site.running])
    page.goto(f"{visitor.site.service.url}/?ids={ids}")
    page.get_by_label("Selected jobs").get_by_role("button", name="Archive").click()
    dialog.get_by_role("button", name="Archive 6 jobs").click()
    expect(dialog).to_contain_text("Done for 0 of 6 jobs.")
    expect(dialog.locator(".rejected li")).to_have_count(6)
    expect(dialog.locator(".rejected")).to_contain_text("cannot be archived: it is queued")
    dialog.get_by_role("button", name="Close").click()
    expect(page.get_by_label("Selected jobs")).to_contain_text("6 selected")

    bar = page.get_by_label("Selected jobs")
    page.goto(f"{visitor.site.service.url}/?ids={queued[0]}")
    act(page, "Cancel", "Cancel 1 job")
    expect(dialog).to_contain_text("Done for 1 of 1 job.")
    dialog.get_by_role("button", name="Close").click()
    # The bar has disappeared, so keyboard navigation continues in the list.
    expect(bar).to_have_count(0)
    expect(page.locator("thead").get_by_label("Select the jobs on this page")).to_be_focused()
    page.goto(f"{visitor.site.service.url}/?ids={','.join(queued[1:])}")
    act(page, "Cancel", "Cancel 4 jobs")
    expect(dialog).to_contain_text("Done for 4 of 4 jobs.")
    dialog.get_by_role("button", name="Close").click()
    assert client.get(f"/v1/jobs/{queued[0]}").json()["status"] == "cancelled"
    page.goto(f"{visitor.site.service.url}/?ids={ids}")
    act(page, "Delete", "Delete 6 jobs")
    expect(dialog).to_contain_text("Done for 5 of 6 jobs.")
    expect(dialog.locator(".rejected")).to_contain_text("running")
    dialog.get_by_role("button", name="Close").click()
    expect(bar).to_contain_text("1 selected")
    expect(bar.get_by_role("button", name="Delete", exact=True)).to_be_focused()
    assert client.get(f"/v1/jobs/{queued[0]}").status_code == 404
