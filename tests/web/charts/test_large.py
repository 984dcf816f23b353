"""The page of a job with very many steps: it downsamples the whole run, but shows any range in full detail."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from contracts.attempt import Claim
from contracts.base import utc_now
from contracts.record import EvalRecord
from tests.app.player import Player
from tests.factories import make_metric
from tests.web.charts.charted_job import hover, readout
from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]
STEPS = 40_000
SPIKE, SPIKE_AT = 99.0, 26_667
EVALUATIONS = 1000
INK = """() => {
  const canvas = document.querySelector('.charts canvas');
  const { width, height } = canvas;
  const pen = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  pen.drawImage(canvas, 0, 0);
  const { data } = pen.getImageData(0, 0, width, height);
  const isInk = (x, y) => data[4 * (y * width + x)] - data[4 * (y * width + x) + 2] > 60;
  const rows = [...Array(height).keys()];
  return [...Array(width).keys()].map(x => rows.filter(y => isInk(x, y)).length);
}"""
"""Counts, in each pixel column of the plot, the pixels in the color of evaluations: more red than blue."""


@pytest.fixture(scope="module")
def large(site: Site) -> Iterator[str]:
    """A job that has ended and whose history was uploaded in HTTP syncs, as a worker uploads it."""
    player = Player(site.service.client)
    job = player.submit(queue="large")
    claim = player.claim(worker_id="large", queue="large")
    for first in range(1, STEPS + 1, 1000):
        steps = range(first, first + 1000)
        player.sync(
            claim,
            *(make_metric(n, loss=loss_at(n), grad_norm=norm_at(n)) for n in steps),
        )
    finish(player, claim, STEPS)
    yield job
    delete(site, job)


def finish(player: Player, claim: Claim, steps: int) -> None:
    """End a job that has one record for each of its `steps` steps."""
    failure = {"reason": "loss_not_finite", "detail": "ended by the test", "step": steps}
    ended = player.finish(claim, "failed", last_seq=steps, step=steps, failure=failure)
    assert ended.is_success, ended.text


def delete(site: Site, job: str) -> None:
    """Delete the job, so that other tests find the job list unchanged."""
    assert site.service.client.delete(f"/v1/jobs/{job}").is_success


def loss_at(step: int) -> float:
    """Return a loss that goes up and down, with a single spike."""
    return SPIKE if step == SPIKE_AT else 2 + (step * 7919 % 1000) / 1000


def norm_at(step: int) -> float:
    """Return a gradient norm whose extremes are at other steps than those of the loss, so that it is sampled at other steps."""
    return 1 + (step * 6577 % 997) / 1000


def drag(page: Page, start: float, end: float) -> None:
    """Drag over the loss plot; `start` and `end` are fractions of its width."""
    plot = page.locator(".charts .u-over").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * start, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, y, steps=4)
    page.mouse.up()


def test_zooming_loads_full_detail_and_a_double_click_restores_the_whole_run(
    visit: Visit, site: Site, large: str
) -> None:
    visitor = visit(probed=True)
    page = visitor.go(f"/jobs/{large}")
    visitor.wait_for_points(500)
    whole = visitor.plotted()["series"]["loss"]
    assert len(whole["step"]) <= 2000
    assert (whole["step"][0], whole["step"][-1]) == (1, STEPS)
    assert whole["value"][whole["step"].index(SPIKE_AT)] == SPIKE
    assert sum(value is not None and value >= SPIKE for value in whole["value"]) == 1

    with page.expect_response("**/metrics?max_points=*from_step=*") as fetched:
        drag(page, 0.655, 0.675)
    detail: Any = fetched.value.json()["series"]["loss"]

    page.wait_for_function(
        "count => window.__stepline.series.loss.step.length === count", arg=len(detail["step"])
    )
    plotted = visitor.plotted()
    bounds = plotted["range"]
    assert plotted["series"]["loss"]["step"] == detail["step"]
    assert plotted["series"]["loss"]["value"] == detail["value"]
    assert detail["step"] == list(range(bounds["from"], bounds["to"] + 1)), "not in full detail"
    assert bounds["from"] < SPIKE_AT < bounds["to"]
    assert bounds["to"] - bounds["from"] < STEPS / 40

    page.locator(".charts .u-over").first.dblclick()
    page.wait_for_function("() => window.__stepline.range === null")

    assert visitor.plotted()["series"]["loss"] == whole


def test_a_value_of_another_step_is_marked_until_that_of_the_step_hovered_has_been_read(
    visit: Visit, large: str
) -> None:
    visitor = visit(probed=True)
    page = visitor.go(f"/jobs/{large}?smooth=0")
    visitor.wait_for_points(500)
    page.wait_for_function("() => window.__stepline.scales?.length === 3")
    held: list[Route] = []

    def hold(route: Route) -> None:  # Playwright does not accept a built-in method
        held.append(route)

    page.route("**/metrics?from_step=*", hold)
    marked = 0

    for fraction in (0.2, 0.35, 0.5, 0.77):
        with page.expect_request("**/metrics?from_step=*"):
            hover(page, fraction * STEPS)
        shown = readout(page)
        step = int(shown["Step"].replace(",", ""))
        value, _, other = shown["Gradient norm"].partition(" @ ")
        marked += bool(other)
        assert value == f"{norm_at(int(other.replace(',', '') or step)):.3f}"
        caption = page.locator(".minor .readout", has_text="Gradient norm")
        expect(caption.locator("dd")).to_have_text(shown["Gradient norm"])
        page.wait_for_timeout(0)  # runs the handler of the request
        held.pop().continue_()
        for name in (".charts .readout >> nth=0", ".minor .readout"):
            entry = page.locator(name).locator("div", has_text="Gradient norm")
            expect(entry.locator("dd")).to_have_text(f"{norm_at(step):.3f}")

    assert marked, "the gradient norm is sampled at the same steps as the loss"


def test_many_evaluations_are_drawn_as_a_line_and_a_few_as_dots(visit: Visit, site: Site) -> None:
    player = Player(site.service.client)
    job = player.submit(queue="evaluations")
    claim = player.claim(worker_id="evaluations", queue="evaluations")
    steps = range(1, EVALUATIONS + 1)
    evaluations = [EvalRecord(seq=n, at=utc_now(), step=n, loss=2, tokens=10) for n in steps]
    player.sync(claim, *evaluations)
    finish(player, claim, EVALUATIONS)
    visitor = visit(probed=True)
    page = visitor.go(f"/jobs/{job}")
    page.wait_for_function("() => window.__stepline?.series.eval_loss?.step.length === 1000")

    page.wait_for_function(f"() => ({INK})().filter(Boolean).length > {EVALUATIONS}")
    line_height = max(page.evaluate(INK))

    page.goto(f"{page.url}?from=100&to=120")

    page.locator(".charts canvas").first.wait_for()
    page.wait_for_function(f"() => Math.max(...({INK})()) >= {line_height} + 2")
    delete(site, job)
