"""The values above the charts: those of the step at the cursor."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.web.charts.charted_job import (
    EVALUATED,
    delete,
    eval_loss_at,
    hover,
    loss_at,
    make_charted_job,
    readout,
)
from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]


@pytest.fixture(scope="module")
def charted(site: Site) -> Iterator[str]:
    job = make_charted_job(site)
    yield job
    delete(site, job)


def test_the_readout_shows_the_step_at_the_cursor_on_every_chart(
    visit: Visit, charted: str
) -> None:
    visitor = visit(probed=True)
    page = visitor.go(f"/jobs/{charted}?smooth=0")
    visitor.wait_for_points(80)
    page.wait_for_function("() => window.__stepline.scales?.length === 4")

    for chart in (0, 1, 3):
        for step in (20, 30, 50, 60, 70):
            hover(page, step, chart)
            expect(page.locator(".readout dd").first).to_have_text(str(step))
            shown = readout(page)
            assert shown["Train loss"] == f"{loss_at(step):.4f}"
            assert shown["Learning rate"] == f"{step / 10:g}e-5"


def test_the_readout_shows_the_nearest_evaluation(visit: Visit, charted: str) -> None:
    visitor = visit(probed=True)
    page = visitor.go(f"/jobs/{charted}")
    visitor.wait_for_points(80)
    page.wait_for_function("() => window.__stepline.scales?.length === 4")

    for step in (3, 20, 45, 60, 75):
        hover(page, step)
        expect(page.locator(".readout dd").first).to_have_text(str(step))
        nearest = min(EVALUATED, key=lambda one: abs(one - step))
        assert re.sub(" .*", "", readout(page)["Eval loss"]) == f"{eval_loss_at(nearest):.4f}"


def test_the_logarithmic_scale_fits_the_visible_values(visit: Visit, charted: str) -> None:
    visitor = visit(probed=True)
    page = visitor.go(f"/jobs/{charted}?smooth=0&log=1&from=1&to=80")
    visitor.wait_for_points(80)
    page.wait_for_function("() => window.__stepline.scales?.length === 4")

    low, high = visitor.plotted()["scales"][0]["y"]

    assert 0.4 < low <= loss_at(80)
    assert loss_at(1) <= high < 1.1


def test_the_legend_of_a_comparison_follows_the_cursor(visit: Visit, site: Site) -> None:
    jobs = [make_charted_job(site, f"side-{n}", shift=n) for n in range(2)]
    visitor = visit(probed=True)
    page = visitor.go(f"/compare?ids={','.join(jobs)}&smooth=0")
    page.wait_for_function("() => window.__stepline?.scales?.length === 1")

    for step in (20, 70):
        hover(page, step)
        expect(page.locator(".readout")).to_contain_text(f"{loss_at(step):.4f}")
        assert f"{loss_at(step) + 1:.4f}" in readout(page)["side-1"]
    visitor.context.close()
    delete(site, *jobs)
