"""The options of a job's charts: the horizontal axis, hidden lines, outliers, full screen, and saved pictures."""

import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from contracts.attempt import Claim
from contracts.base import utc_now
from contracts.record import CheckpointRecord, PhaseRecord
from contracts.run.exits import explain_exit
from tests.app.player import Player
from tests.e2e.service import wait_for
from tests.factories import make_metric
from tests.web.charts.charted_job import STEPS, delete, eval_loss_at, hover, make_charted_job
from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]
TOTAL = 200
KILLED_AT, RESUMED_AT, REACHED = 50, 40, 120
SPIKE = 50.0


@pytest.fixture(scope="module")
def charted(site: Site) -> Iterator[str]:
    job = make_charted_job(site)
    yield job
    delete(site, job)


@pytest.fixture(scope="module")
def resumed(site: Site) -> Iterator[str]:
    """A running job whose first attempt was killed, and whose second attempt has a spike at step 60."""
    player = Player(site.service.client)
    job = player.submit(queue="resumed", name="resumed")
    claim = player.claim(worker_id="resumed", queue="resumed")
    start = PhaseRecord(seq=1, at=utc_now(), phase="training", total_steps=TOTAL)
    player.sync(claim, start, *(make_metric(step + 1, step) for step in range(1, KILLED_AT + 1)))
    player.checkpoint(claim, KILLED_AT + 2, RESUMED_AT)
    killed = explain_exit(-9, Path("missing"), ran_out_of_memory=False)
    failed = killed.model_copy(update={"step": KILLED_AT}).model_dump(mode="json")
    assert player.finish(claim, "failed", last_seq=KILLED_AT + 2, failure=failed).is_success
    claim = _claim_again(player, "resumed")
    phase = {"phase": "training", "step": RESUMED_AT, "total_steps": TOTAL}
    origin = {"resumed_from": 1, "resumed_step": RESUMED_AT}
    player.sync(claim, PhaseRecord.model_validate({"seq": 1, "at": utc_now(), **phase, **origin}))
    steps = range(RESUMED_AT + 1, REACHED + 1)
    losses = [SPIKE if step == 60 else 2.0 + step / 1000 for step in steps]
    player.sync(claim, *(make_metric(n + 2, s, loss=losses[n]) for n, s in enumerate(steps)))
    name = f"step-{REACHED:08d}"
    player.sync(claim, CheckpointRecord(seq=82, at=utc_now(), step=REACHED, name=name, bytes=9))
    yield job
    site.service.cancel(job)
    delete(site, job)


def _claim_again(player: Player, queue: str) -> Claim:
    """Claim the job after a failure; the server waits a moment before it offers the job again."""
    claims: list[Claim] = []

    def is_claimed() -> bool:
        response = player.post_claim(worker_id=queue, queue=queue)
        if response.status_code == 200:
            claims.append(Claim.model_validate_json(response.content))
        return bool(claims)

    wait_for(is_claimed, 30, lambda: "the job was not offered again")
    return claims[0]


def scales(page: Page, charts: int) -> Any:
    """Return the ranges of the page's charts, once there are `charts` of them."""
    page.wait_for_function("count => window.__stepline?.scales?.length === count", arg=charts)
    page.wait_for_function("() => window.__stepline.scales.every(({ x }) => x[1] > x[0])")
    return page.evaluate("window.__stepline.scales")


def wait_for_x(page: Page, low: float, high: float) -> None:
    """Wait until every chart shows a horizontal range."""
    page.wait_for_function(
        """([low, high]) => window.__stepline.scales.every(
             ({ x }) => Math.abs(x[0] - low) < 0.01 * high && Math.abs(x[1] - high) < 0.01 * high)""",
        arg=[low, high],
    )


def test_all_charts_show_one_range_on_every_axis(visit: Visit, charted: str) -> None:
    page = visit(probed=True).go(f"/jobs/{charted}")
    assert [one["x"] for one in scales(page, 4)] == [[0, STEPS]] * 4
    axis = page.get_by_label("Horizontal axis")

    for kind, end in {"Epoch": 2, "Tokens": 100 * STEPS, "Training time": 2 * STEPS}.items():
        axis.select_option(label=kind)
        wait_for_x(page, 0, end)
    assert "x=time" in page.url
    page.reload()
    scales(page, 4)
    wait_for_x(page, 0, 2 * STEPS)
    hover(page, 80)
    expect(page.locator(".readout").first).to_contain_text("1m 20s")
    expect(page.locator(".readout dd").first).to_have_text("40")


def test_the_axis_extends_to_the_last_step_and_marks_attempts_and_checkpoints(
    visit: Visit, resumed: str
) -> None:
    visitor = visit(probed=True)
    page = visitor.go(f"/jobs/{resumed}")
    assert {tuple(one["x"]) for one in scales(page, 3)} == {(1, TOTAL)}
    texts = page.locator(".marks")
    because = "Attempt 2 from step 40: killed by signal 9"
    expect(texts).to_have_text(because)

    hover(page, RESUMED_AT)
    expect(texts).to_contain_text(because)
    expect(texts).to_contain_text("Checkpoint at step 40")
    hover(page, 80)
    expect(texts).not_to_contain_text("Attempt")
    page.get_by_role("button", name="Hide Attempts").click()
    hover(page, REACHED)
    expect(texts).to_contain_text("Checkpoint at step 120")
    hover(page, RESUMED_AT)
    expect(texts).not_to_contain_text("Attempt")
    hover(page, 180)
    expect(page.locator(".readout dd").first).to_have_text(str(REACHED))

    page.get_by_label("Remaining steps").uncheck()

    wait_for_x(page, 1, REACHED)


def test_the_table_of_attempts_says_why_the_earlier_one_ended(visit: Visit, resumed: str) -> None:
    page = visit().go(f"/jobs/{resumed}")
    table = page.get_by_label("Attempts · Files")

    sentence = "The training process was terminated by signal 9."
    expect(table.locator("tr.reason")).to_have_text(f"Ended: {sentence}")
    expect(table).to_contain_text("Steps 41–120 · from the checkpoint at step 40")

    page.get_by_role("button", name="中文").click()
    reason = page.get_by_label("尝试记录 · 文件").locator("tr.reason")
    expect(reason).to_have_text(re.compile(f"结束原因：[^A-Za-z]+（{sentence}）"))
    expect(page.locator(".marks")).to_have_text("第 2 次尝试，从第 40 步开始：被信号 9 终止")


def test_a_crash_is_described_in_a_whole_sentence_and_an_early_run_can_show_its_remaining_steps(
    visit: Visit, site: Site
) -> None:
    player = Player(site.service.client)
    job = player.submit(queue="crashed", name="crashed")
    claim = player.claim(worker_id="crashed", queue="crashed")
    player.sync(claim, make_metric(1))
    crash = explain_exit(-11, Path("missing"), ran_out_of_memory=False).model_dump(mode="json")
    assert player.finish(claim, "failed", last_seq=1, failure=crash).is_success
    player.client.post(f"/v1/jobs/{job}/retry").raise_for_status()
    claim = _claim_again(player, "crashed")
    start = PhaseRecord(seq=1, at=utc_now(), phase="training", total_steps=5000)
    player.sync(claim, start, *(make_metric(step + 1, step) for step in range(1, 91)))
    page = visit().go(f"/jobs/{job}")

    expect(page.locator(".marks")).to_have_text("Attempt 2 from step 0: crashed with signal 11")
    expect(page.get_by_label("Attempts · Files").locator("tr.reason")).to_have_text(
        "Ended: The training process was killed by signal 11 without writing an outcome."
    )
    rest, hint = page.get_by_label("Remaining steps"), page.get_by_role("button", name="Show all")
    expect(hint).to_have_text("Show all 5,000 steps, including the remaining ones")
    expect(rest).not_to_be_checked()
    hint.click()
    expect(rest).to_be_checked()
    expect(hint).to_have_count(0)
    player.sync(claim, *(make_metric(step + 1, step) for step in range(91, 101)))
    page.goto(page.url.split("?")[0])
    expect(rest).to_be_checked()
    page.close()
    player.client.post(f"/v1/jobs/{job}/cancel").raise_for_status()
    player.finish(claim, "cancelled", last_seq=101)
    delete(site, job)


def test_lines_can_be_hidden_and_outliers_ignored(visit: Visit, resumed: str) -> None:
    visitor = visit(probed=True)
    page = visitor.go(f"/jobs/{resumed}?smooth=0")
    assert scales(page, 3)[0]["y"][1] > SPIKE

    page.get_by_label("Ignore outliers").check()
    page.wait_for_function("() => window.__stepline.scales[0].y[1] < 3")
    page.get_by_label("Ignore outliers").uncheck()
    page.wait_for_function("() => window.__stepline.scales[0].y[1] > 50")
    page.get_by_role("button", name="Hide Train loss").click()

    page.wait_for_function("() => window.__stepline.scales[0].y[1] < 3")
    assert "hide=train" in page.url
    page.reload()
    assert scales(page, 3)[0]["y"][1] < 3
    page.get_by_role("button", name="Hide Learning rate").click()
    expect(page.locator(".charts canvas")).to_have_count(2)
    page.get_by_role("button", name="Show Train loss").click()
    page.wait_for_function("() => window.__stepline.scales[0].y[1] > 50")


def test_the_vertical_range_fits_lines_whose_points_are_not_visible(
    visit: Visit, resumed: str, charted: str
) -> None:
    visitor = visit(probed=True)
    page = visitor.go(f"/jobs/{resumed}?smooth=0&from=59.5&to=60.5")
    # One point, the spike, is visible; the line leaves the chart halfway down to its neighbours.
    halfway = (SPIKE + 2.06) / 2
    assert halfway - 3 < scales(page, 3)[0]["y"][0] < halfway

    # Without the train loss, only the line between the evaluations at steps 0 and 16 is visible.
    visitor.go(f"/jobs/{charted}?smooth=0&from=4&to=12&hide=train")
    low, high = scales(page, 4)[0]["y"]

    assert 0.8 < low < eval_loss_at(12)
    assert eval_loss_at(4) < high < 0.9


def test_the_chart_fills_the_window_until_escape_is_pressed(visit: Visit, charted: str) -> None:
    visitor = visit(probed=True)
    page = visitor.go(f"/jobs/{charted}")
    scales(page, 4)

    page.get_by_role("button", name="Full screen").click()

    plot = page.locator(".plot").first
    page.wait_for_function("() => document.querySelector('.plot').clientHeight > 450")
    assert page.locator(".plot").count() == 1
    box = page.locator(".full .card").bounding_box()
    assert box is not None
    assert (box["y"], box["width"]) == (0, 1280)
    assert 760 <= box["height"] <= 800
    assert page.locator("header.top").evaluate("element => element.inert")
    page.reload()
    page.wait_for_function("() => document.querySelector('.plot')?.clientHeight > 450")
    page.keyboard.press("Escape")
    expect(page.locator(".plot")).to_have_count(4)
    expect(plot).to_have_js_property("clientHeight", 320)
    assert "full=" not in page.url
    assert not page.locator("header.top").evaluate("element => element.inert")


def test_a_saved_picture_has_a_title_a_legend_and_axes(visit: Visit, resumed: str) -> None:
    visitor = visit(probed=True)
    page = visitor.go(f"/jobs/{resumed}?hide=raw")
    scales(page, 3)

    with page.expect_download() as download:
        page.get_by_role("button", name="Save the chart as SVG").click()
    assert download.value.suggested_filename == f"{resumed}.svg"
    svg = download.value.path().read_text()
    drawn = page.evaluate(
        """text => {
          const parsed = new DOMParser().parseFromString(text, 'image/svg+xml');
          return [...parsed.querySelectorAll('text')].map(one => one.textContent);
        }""",
        svg,
    )
    assert drawn[:2] == ["resumed", "Train and eval loss · tiny-qwen2"]
    assert {"earlier attempts", "smoothed", "Attempts", "Checkpoints", "Step", "140", "10"} <= set(
        drawn
    )
    assert "raw" not in drawn
    smoothed = max(re.findall(r'<path d="([^"]+)"', svg), key=len)
    assert smoothed.count("L") == REACHED - 1

    with page.expect_download() as download:
        page.get_by_role("button", name="Save the chart as PNG").click()
    png = download.value.path().read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", png[16:24]) == (2400, 1280)
