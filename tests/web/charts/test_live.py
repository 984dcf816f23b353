"""The page of a job in training: its curve grows, and has no gaps after a lost connection, a restart or a killed process."""

import os
import re
import signal
from collections.abc import Callable
from typing import Any, cast

from playwright.sync_api import expect
from starlette.testclient import TestClient

from tests.app.player import Player
from tests.e2e.service import Service
from tests.factories import make_metric
from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]


def assert_equal_to_the_api(visitor: Visitor, site: Site) -> Any:
    """Check that the plot has every point so far and that the values equal the API's; return the plotted data."""
    points = site.service.losses(site.running)
    visitor.wait_for_points(len(points))
    plotted = visitor.plotted()
    loss = plotted["series"]["loss"]
    now = site.service.losses(site.running)[: len(loss["step"])]
    assert loss["step"] == [point["step"] for point in now]
    assert loss["value"] == [point["loss"] for point in now]
    for name in ("learning_rate", "grad_norm"):
        assert plotted["series"][name]["value"] == [point[name] for point in now]
    return plotted


def test_the_curve_grows_without_a_reload_and_equals_the_api(visit: Visit, site: Site) -> None:
    visitor = visit(probed=True)
    page = visitor.go(f"/jobs/{site.running}")
    page.evaluate("window.untouched = true")
    expect(page.locator(".job")).to_have_attribute("data-source", "stream")
    before = assert_equal_to_the_api(visitor, site)["series"]["loss"]["step"]

    visitor.wait_for_points(len(before) + 10)

    after = assert_equal_to_the_api(visitor, site)
    assert len(after["series"]["loss"]["step"]) >= len(before) + 10
    assert page.evaluate("window.untouched")
    evaluations = [
        event["data"]["step"]
        for event in site.service.get(f"/v1/jobs/{site.running}/events", limit=1000)["data"]
        if event["code"] == "evaluated"
    ]
    shown = after["series"]["eval_loss"]["step"]
    assert shown == evaluations[: len(shown)]
    assert shown[0] == 0
    expect(page.locator(".charts canvas").nth(2)).to_be_visible()
    accuracy = page.locator(".minor figcaption").filter(has_text="Token accuracy")
    expect(accuracy).to_contain_text(re.compile(r"\d%.*Token accuracy, evaluation.*\d%"))
    page.wait_for_function("/^\\d+% · \\d+\\.\\d+ · running$/.test(document.title)")


def test_the_page_polls_if_the_stream_is_unavailable(visit: Visit, site: Site) -> None:
    visitor = visit(probed=True)
    visitor.may_fail = True
    visitor.page.route("**/stream*", lambda route: route.abort())
    page = visitor.go(f"/jobs/{site.running}")
    held = len(assert_equal_to_the_api(visitor, site)["series"]["loss"]["step"])

    visitor.wait_for_points(held + 10)

    expect(page.locator(".job")).to_have_attribute("data-source", "polls")
    assert_equal_to_the_api(visitor, site)


def test_the_view_is_in_the_url_and_survives_a_reload(visit: Visit, site: Site) -> None:
    visitor = visit(probed=True)
    page = visitor.go(f"/jobs/{site.running}")
    visitor.wait_for_points(12)
    page.get_by_label("Log scale").check()
    page.get_by_label("Smoothing").fill("0.9")
    page.get_by_label("Search the log").fill("rows")
    chart = page.locator(".charts .u-over").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 50, steps=4)
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"[?&]from=\d"))
    zoomed = visitor.plotted()["range"]
    assert 0 <= zoomed["from"] < zoomed["to"]

    page.reload()
    visitor.wait_for_points(12)

    assert visitor.plotted()["range"] == zoomed
    expect(page.get_by_label("Log scale")).to_be_checked()
    expect(page.get_by_label("Smoothing")).to_have_value("0.9")
    expect(page.get_by_label("Search the log")).to_have_value("rows")
    assert_equal_to_the_api(visitor, site)

    page.locator(".charts .u-over").first.dblclick()
    page.wait_for_function("window.__stepline.range === null")
    assert "from=" not in page.url


def test_the_page_recovers_from_a_restart_of_the_api(visit: Visit, site: Site) -> None:
    visitor = visit(probed=True)
    page = visitor.go(f"/jobs/{site.running}")
    visitor.wait_for_points(10)
    visitor.may_fail = True

    site.service.stop("api")
    banner = page.locator(".away")
    expect(banner).to_contain_text("cannot be reached")
    held = len(visitor.plotted()["series"]["loss"]["step"])
    assert held >= 10
    expect(page.locator(".charts canvas").nth(2)).to_be_visible()
    site.service.start_api()

    expect(banner).to_have_count(0)
    visitor.wait_for_points(held + 5)
    assert_equal_to_the_api(visitor, site)


def test_the_page_recovers_from_a_lost_connection(visit: Visit, site: Site) -> None:
    visitor = visit(locale="zh-CN", probed=True)
    page = visitor.go(f"/jobs/{site.running}")
    visitor.wait_for_points(10)
    visitor.may_fail = True

    visitor.context.set_offline(True)
    # The open stream does not detect the lost connection, but the next request does.
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator(".away")).to_contain_text("无法连接服务器")
    held = len(visitor.plotted()["series"]["loss"]["step"])
    visitor.context.set_offline(False)

    expect(page.locator(".away")).to_have_count(0)
    visitor.wait_for_points(held + 5)
    assert_equal_to_the_api(visitor, site)


def test_a_killed_training_process_that_resumes_leaves_one_continuous_line(
    visit: Visit, site: Site
) -> None:
    service = site.service
    visitor = visit(probed=True)
    page = visitor.go(f"/jobs/{site.running}")
    killed_at = _step_past_a_checkpoint(service, site.running)
    visitor.wait_for_points(killed_at)
    attempt = service.job(site.running)["attempt"]

    for process in service.trainers():
        os.kill(process, signal.SIGKILL)

    def has_resumed(_: Any) -> bool:
        newest = service.losses(site.running)[-1]
        return bool(newest["attempt"] > attempt and newest["step"] > killed_at + 10)

    service.wait_for_job(site.running, has_resumed, 90)
    plotted = assert_equal_to_the_api(visitor, site)
    steps = plotted["series"]["loss"]["step"]
    assert steps == list(range(1, len(steps) + 1))
    assert plotted["ghosts"], "the points of the earlier attempt are missing"
    assert plotted["ghosts"][-1]["step"][-1] >= killed_at
    expect(page.locator(".readout").first).to_contain_text("earlier attempts")
    page.reload()
    visitor.wait_for_points(len(steps))
    assert assert_equal_to_the_api(visitor, site)["ghosts"] != []


def _step_past_a_checkpoint(service: Service, job_id: str) -> int:
    """Wait for a checkpoint and at least five steps after it; return the current step."""

    def is_past_checkpoint(job: Any) -> bool:
        events = service.get(f"/v1/jobs/{job_id}/events", limit=1000)["data"]
        saved = [event["data"]["step"] for event in events if event["code"] == "checkpoint"]
        return bool(saved) and job["progress"]["step"] % 40 in range(5, 30)

    return int(service.wait_for_job(job_id, is_past_checkpoint)["progress"]["step"])


def test_the_job_page_shows_the_report_as_soon_as_the_job_has_succeeded(
    visit: Visit, site: Site
) -> None:
    player = Player(cast("TestClient", site.service.client))
    job = player.submit(queue="watched", name="watched")
    page = visit().go(f"/jobs/{job}")
    expect(page.locator(".job")).to_have_attribute("data-source", "stream")

    claim = player.claim(queue="watched", worker_id="watched")
    player.sync(claim, make_metric(1))
    status = page.locator(".status").first
    expect(status).to_contain_text("running")
    expect(page.get_by_label("Attempts · Files")).to_contain_text("watched")
    player.succeed(claim, last_seq=1)

    expect(status).to_contain_text("succeeded")
    expect(page.locator(".outcome")).to_contain_text("PPL 4.95: good")
    expect(page.locator(".report")).to_contain_text("mean of the run")
    expect(page.get_by_role("link", name="Download the adapter")).to_be_visible()
    assert site.service.client.delete(f"/v1/jobs/{job}").is_success
