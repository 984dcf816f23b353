"""Uploads a job with known values as a worker would, and moves the mouse over its charts."""

from datetime import timedelta
from typing import Any

from playwright.sync_api import Page

from contracts.base import utc_now
from contracts.record import EvalRecord, Record
from tests.app.player import Player
from tests.factories import make_metric
from tests.web.conftest import Site

STEPS = 80
EVALUATED = (0, 16, 40, 62, 80)
SAMPLED = (10, 16, 40, 46, 62)
"""Steps at which the supervisor sampled the processor: fewer than those of the losses, so that the charts' points differ."""


def loss_at(step: int) -> float:
    """Return the train loss at a step."""
    return round(1 - step * 0.0068, 4)


def eval_loss_at(step: int) -> float:
    """Return the eval loss at a step."""
    return round(0.9 - step / 200, 6)


def make_charted_job(
    site: Site, name: str = "charted", *, shift: float = 0.0, pace: float = 2.0, **changes: Any
) -> str:
    """Submit a job and upload its history. The job has ended, with a failure.

    `shift` is added to every loss; a step takes `pace` seconds.
    """
    start = utc_now() - timedelta(hours=1)
    player = Player(site.service.client)
    job = player.submit(queue=name, name=name, **changes)
    claim = player.claim(worker_id=name, queue=name)
    seq = samples = 0
    for first in range(0, STEPS + 1, 20):
        records: list[Record] = []
        for step in range(first, min(first + 20, STEPS + 1)):
            at = start + timedelta(seconds=pace * step)
            if step:
                seq += 1
                loss = loss_at(step) + shift
                metric = make_metric(
                    seq, step, loss=loss, learning_rate=step * 1e-6, epoch=step / 40
                )
                records.append(metric.model_copy(update={"at": at}))
            if step in EVALUATED:
                seq += 1
                loss = eval_loss_at(step) + shift
                records.append(EvalRecord(seq=seq, at=at, step=step, loss=loss, tokens=10))
            if step in SAMPLED:
                # The server assigns a sample to the latest step that it has received, so the step is sent first.
                player.sync(claim, *records)
                records = []
                samples += 1
                values = {"sys.cpu_percent": float(step)}
                player.sync(claim, samples=[{"seq": samples, "at": utc_now(), "values": values}])
        player.sync(claim, *records)
    failure = {"reason": "loss_not_finite", "detail": "ended by the test", "step": STEPS}
    ended = player.finish(claim, "failed", last_seq=seq, step=STEPS, failure=failure)
    assert ended.is_success, ended.text
    return job


def delete(site: Site, *jobs: str) -> None:
    """Delete jobs, so that other tests find the job list unchanged."""
    for job in jobs:
        assert site.service.client.delete(f"/v1/jobs/{job}").is_success


def hover(page: Page, step: float, chart: int = 0) -> None:
    """Move the mouse to a step on a chart of the page; its horizontal axis shows steps."""
    position: Any = page.evaluate(
        """([step, chart]) => {
          const over = document.querySelectorAll('.u-over')[chart];
          over.scrollIntoView({ block: 'center' });
          const [min, max] = window.__stepline.scales[chart].x;
          const box = over.getBoundingClientRect();
          return [box.x + (box.width * (step - min)) / (max - min), box.y + box.height / 2];
        }""",
        [step, chart],
    )
    page.mouse.move(*position)


def readout(page: Page) -> dict[str, str]:
    """Return the values that the readout above the first chart shows, by name."""
    entries: Any = page.locator(".readout").first.evaluate(
        """readout => [...readout.querySelectorAll('dt')].map(name =>
             [name.textContent.trim(), name.nextElementSibling.textContent.trim()])"""
    )
    return dict(entries)
