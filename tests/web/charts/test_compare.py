"""The comparison of jobs: their selection in the list, the chart, the table, missing jobs, and very long names."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.app.player import Player
from tests.web.charts.charted_job import delete, hover, make_charted_job
from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]
BASELINE_IN_SIGHT = """(box, left) => {
  box.scrollLeft = left;
  const { left: start, right: end } = box.getBoundingClientRect();
  return [...box.querySelectorAll('.baseline')].map(cell => cell.getBoundingClientRect())
    .map(({ left, right }) => left >= start + 60 && right <= end + 1);
}"""
"""Scrolls the table and returns, for each cell of the baseline, whether it is visible to the right of the row names."""


def test_missing_jobs_are_named_and_requested_only_once(visit: Visit, site: Site) -> None:
    visitor = visit()
    visitor.may_fail = True
    requested: list[str] = []
    visitor.page.on("request", lambda request: requested.append(request.url.rsplit("/", 1)[1]))
    page = visitor.go(f"/compare?ids={site.running},job_missing")

    expect(page.get_by_role("alert")).to_contain_text("Job job_missing does not exist")
    expect(page.get_by_label("Results", exact=True)).to_contain_text("running")
    expect(page.locator("main")).not_to_contain_text("have the same settings")
    expect(page.locator("main")).not_to_contain_text("Comparison of")
    # The other job is still running, so the page requests it again.
    with page.expect_response(lambda response: response.url.endswith(site.running)):
        pass
    assert requested.count("job_missing") == 1


@pytest.fixture(scope="module")
def pair(site: Site) -> Iterator[list[str]]:
    """A job, and one with a higher loss, a different learning rate and half the speed."""
    rate = {"training": {"learning_rate": 1e-3}}
    jobs = [
        make_charted_job(site, "plain"),
        make_charted_job(site, "higher", shift=0.1, pace=4.0, **rate),
    ]
    yield jobs
    delete(site, *jobs)


def test_the_table_starts_with_the_settings_that_differ_and_judges_changes_from_the_baseline(
    visit: Visit, pair: list[str]
) -> None:
    page = visit().go(f"/compare?ids={','.join(pair)}")
    rows = page.get_by_label("Results", exact=True).locator("tr")
    rate = rows.filter(has_text="learning_rate")
    loss = rows.filter(has_text="Last train loss")

    expect(rate).to_contain_text("0.001")
    assert rows.all_inner_texts().index(rate.inner_text()) == 2
    # 0.456 and 0.556
    expect(loss.locator(".worse")).to_have_text(re.compile(r"\+21\.9%.*worse than the baseline"))
    expect(loss.locator("b")).to_have_text("0.4560")

    page.get_by_role("button", name="Use higher as the baseline").click()

    expect(loss.locator(".better")).to_have_text(re.compile(r"−18\.0%.*better than the baseline"))
    expect(loss.locator(".worse")).to_have_count(0)
    assert f"baseline={pair[1]}" in page.url
    page.reload()
    expect(loss.locator(".better")).to_have_count(1)
    page.get_by_text("settings are the same in all jobs").click()
    expect(page.locator("dl.settings")).to_contain_text("tiny-qwen2")


def test_the_jobs_can_be_compared_by_training_time_and_hidden(
    visit: Visit, pair: list[str]
) -> None:
    visitor = visit(probed=True)
    page = visitor.go(f"/compare?ids={','.join(pair)}&smooth=0")
    page.wait_for_function("() => window.__stepline?.scales?.[0]?.x[1] === 80")

    page.get_by_label("Horizontal axis").select_option(label="Training time")

    page.wait_for_function("() => Math.abs(window.__stepline.scales[0].x[1] - 320) < 1")
    hover(page, 80)
    legend = page.locator(".readout")
    # After 80 s, the first job is at step 40 and the other one, at half the speed, at step 20.
    expect(legend).to_contain_text("1m 20s")
    expect(legend).to_contain_text("0.7280")
    expect(legend).to_contain_text("0.9640")
    page.get_by_role("button", name="Hide higher").click()
    page.wait_for_function("() => Math.abs(window.__stepline.scales[0].x[1] - 160) < 1")
    page.reload()
    page.wait_for_function("() => Math.abs(window.__stepline?.scales?.[0]?.x[1] - 160) < 1")


def test_the_selection_bar_stays_visible_and_compares_up_to_twelve_jobs(
    visit: Visit, site: Site
) -> None:
    player = Player(site.service.client)
    dataset = player.upload()
    jobs = [
        player.submit(queue="unused", name=f"pick-{n}", dataset={"train": dataset})
        for n in range(13)
    ]
    visitor = visit()
    page = visitor.go("/?search=pick-")
    bar = page.get_by_label("Selected jobs")
    boxes = page.get_by_role("checkbox", name=re.compile("Select pick-"))
    expect(boxes).to_have_count(13)
    expect(bar).to_have_count(0)

    for n in range(13):
        boxes.nth(n).check()

    for n in range(13):
        expect(boxes.nth(n)).to_be_checked()
    expect(bar).to_contain_text("13 selected")
    expect(bar).to_contain_text("Up to 12 jobs can be compared")
    page.get_by_label("Search", exact=True).fill("nothing has this name")
    expect(boxes).to_have_count(0)
    expect(bar).to_contain_text("13 selected")
    page.get_by_label("Search", exact=True).fill("pick-")
    boxes.nth(12).uncheck()
    expect(bar).to_be_in_viewport()
    bar.get_by_role("link", name="Compare 12 jobs").click()
    expect(page.get_by_role("heading", name="Comparison of 12 jobs")).to_be_visible()
    expect(page.locator(".readout .entry")).to_have_count(12)
    # The baseline's column stays visible when the table is scrolled.
    page.get_by_role("button", name="Use pick-6 as the baseline").click()
    expect(page.locator(".compared td.baseline")).to_have_count(2)
    for left in (0, 10_000):
        assert page.locator(".scroll").evaluate(BASELINE_IN_SIGHT, left) == [True, True, True]
    page.get_by_role("link", name="Change the selection").click()
    bar.get_by_role("button", name="Clear the selection").click()
    expect(bar).to_have_count(0)
    visitor.context.close()
    delete(site, *jobs)


def test_a_long_name_does_not_push_out_the_other_columns(visit: Visit, site: Site) -> None:
    player = Player(site.service.client)
    name = "a-name-without-end-" * 6
    jobs = [player.submit(queue="unused", name=f"{name}{n}") for n in range(3)]
    visitor = visit()
    page = visitor.go(f"/compare?ids={','.join(jobs)}")
    results = page.get_by_label("Results", exact=True)

    expect(results.get_by_title(f"{name}2", exact=True)).to_be_visible()
    fits = "element => element.scrollWidth <= element.clientWidth"
    assert results.locator(".scroll").evaluate(fits)
    for job in jobs:
        assert site.service.client.delete(f"/v1/jobs/{job}").is_success
