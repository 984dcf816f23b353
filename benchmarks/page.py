"""Measures how quickly the page responds: a list of 10,000 jobs, a job of 1,000,000 steps, a comparison of 12 jobs.

    python -m benchmarks.page [--jobs 10000] [--steps 1000000] [--rounds 10]

One API process on SQLite and one Chromium. Each time is measured from the event, usually a click, to the frame that
shows the result, including the requests in between; "feedback" is a frame that shows that the page is working. The
benchmark only prints figures. The last line is JSON.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Page

from app.db.engine import Database
from benchmarks.filling import rows
from benchmarks.history.steps import steps_body
from contracts.attempt import Claim
from contracts.base import utc_now
from contracts.protocol.wire import SYNC_PATH
from contracts.record import EvalRecord, Record
from tests.app.player import Player
from tests.e2e.service import Service
from tests.factories import make_metric
from tests.programs.chromium import running_chromium

GOAL = 100.0
"""Milliseconds."""
COMPARED = 12
COMPARED_STEPS = 1000
TIMER = """
window.frame = () => new Promise(requestAnimationFrame);
window.since = async (began, isDone) => {
  do await frame(); while (!isDone() && performance.now() - began < 10_000);
  if (!isDone()) throw new Error(`not done: ${isDone}`);
  // Frame callbacks run before the frame is drawn, and messages are delivered after it.
  await new Promise(done => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = done;
    port2.postMessage(0);
  });
  return performance.now() - began;
};
window.time = async (act, isDone) => {
  await frame();
  const began = performance.now();
  act();
  return since(began, isDone);
};
window.watchMouse = isDone => {
  const once = { capture: true, once: true };
  window.moved = new Promise((done, failed) =>
    addEventListener('mousemove', () => since(performance.now(), isDone).then(done, failed), once));
};
window.one = selector => document.querySelector(selector);
window.nameOf = element => (element.getAttribute('aria-label') ?? element.textContent).trim();
window.button = text => [...document.querySelectorAll('button, a')].find(
  element => nameOf(element) === text || nameOf(element).startsWith(`${text} `));
window.longestFrame = async frames => {
  let [longest, last] = [0, await frame()];
  for (let n = 0; n < frames; n += 1) {
    scrollBy(0, n < frames / 2 ? 40 : -40);
    const now = await frame();
    longest = Math.max(longest, now - last);
    last = now;
  }
  return longest;
};
"""
FIRST_NAME = "(one('td.name a')?.textContent ?? '')"


@dataclass
class Figures:
    """The duration of each interaction in milliseconds, by name."""

    found: dict[str, list[float]] = field(default_factory=dict)

    def time(self, page: Page, name: str, act: str, is_done: str) -> None:
        """Run an action in the page, and record the time until the condition holds."""
        self.add(name, page.evaluate(f"() => time(() => {{ {act} }}, () => {is_done})"))

    def time_cursor(self, page: Page, name: str, shown: str) -> None:
        """Move the mouse over the first chart, and record the time until the text `shown` changes."""
        box = page.locator(".u-over").first.bounding_box()
        assert box is not None
        y = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + 20, y)
        for share in (0.3, 0.6, 0.9):
            page.evaluate(f"const before = {shown}; watchMouse(() => {shown} !== before)")
            page.mouse.move(box["x"] + share * box["width"], y)
            self.add(name, page.evaluate("moved"))

    def add(self, name: str, milliseconds: float) -> None:
        """Record a time."""
        self.found.setdefault(name, []).append(milliseconds)


def main() -> None:
    """Measure, and print the figures."""
    options = arguments()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, load {os.getloadavg()[0]:.1f}", flush=True)
    figures = Figures()
    with (
        tempfile.TemporaryDirectory(prefix="stepline-page-") as folder,
        serving(Path(folder) / "service", options.jobs) as service,
        running_chromium() as browser,
    ):
        large, compared = add_jobs(service, options.steps)
        print(f"{options.jobs:,} jobs, one with {options.steps:,} steps", flush=True)
        page = browser.new_page(viewport={"width": 1280, "height": 800}, locale="en-US")
        page.add_init_script(TIMER)
        print(f"Chromium {browser.version}", flush=True)
        for _ in range(options.rounds):
            measure_list(page, service.url, figures)
            measure_job(page, service.url, large, figures)
            measure_comparison(page, service.url, compared, figures)
    print(f"{'milliseconds of':<44}{'best':>8}{'median':>8}{'worst':>8}")
    for name, times in figures.found.items():
        median = statistics.median(times)
        over = "   over" if median > GOAL else ""
        print(f"{name:<44}{min(times):>8.0f}{median:>8.0f}{max(times):>8.0f}{over}")
    medians = {name: round(statistics.median(times)) for name, times in figures.found.items()}
    print(json.dumps({"machine": machine, "load": os.getloadavg()[0], "milliseconds": medians}))


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=10)
    return parser.parse_args()


@contextmanager
def serving(folder: Path, jobs: int) -> Iterator[Service]:
    """Run a server whose database has `jobs` jobs."""
    service = Service(
        folder,
        STEPLINE_DOORBELL="false",
        STEPLINE_LEASE_SECONDS="80000",  # no worker renews its lease
        STEPLINE_TAKEOVER_SECONDS="86400",
    )
    try:
        service.migrate()
        database = Database(service.environment["STEPLINE_DATABASE_URL"])
        rows.write(database, jobs)
        database.close()
        service.start_api()
        yield service
    finally:
        service.__exit__()


def add_jobs(service: Service, steps: int) -> tuple[str, list[str]]:
    """Submit a running job with `steps` steps and the jobs to compare; return their ids."""
    player = Player(service.client)
    large = start(player, "endless")
    for first in range(1, steps + 1, 1000):
        body = steps_body(first, min(1000, steps + 1 - first))
        headers = {"Authorization": f"Bearer {large.token}", "Content-Type": "application/json"}
        path = SYNC_PATH.format(attempt_id=large.attempt_id)
        service.client.post(path, content=body, headers=headers).raise_for_status()
    compared = []
    for n in range(COMPARED):
        claim = start(player, f"compared-{n}")
        records: list[Record] = []
        for step in range(1, COMPARED_STEPS + 1):
            # Use different steps in each job, so no two curves share all positions.
            records.append(make_metric(len(records) + 1, step * (n + 1), loss=2 + (step * n) % 7))
            if step % 50 == 0:
                seq, at = len(records) + 1, utc_now()
                records.append(EvalRecord(seq=seq, at=at, step=step * (n + 1), loss=2.5, tokens=10))
        for first in range(0, len(records), 1000):
            player.sync(claim, *records[first : first + 1000])
        failure = {"reason": "loss_not_finite", "detail": "ended by the benchmark", "step": 1}
        player.finish(claim, "failed", last_seq=len(records), failure=failure)
        compared.append(claim.job_id)
    return large.job_id, compared


def start(player: Player, name: str) -> Claim:
    """Submit a job to a separate queue, and claim it."""
    player.submit(name=name, queue=name, dataset={"train": {"hub": "team/rows"}})
    return player.claim(worker_id=name, queue=name)


def measure_list(page: Page, url: str, figures: Figures) -> None:
    """Measure the list of jobs."""
    page.goto(f"{url}/workers")
    page.locator(".workers .card").first.wait_for()
    rows_are_shown = "document.querySelectorAll('table.jobs tbody tr').length === 25"
    figures.time(page, "list: open", "button('Jobs').click()", rows_are_shown)
    page.wait_for_timeout(300)  # the loss trends are loaded after the rows are shown
    figures.add("list: longest frame while scrolling", page.evaluate("longestFrame(40)"))
    act = f"window.before = {FIRST_NAME}; button('Job').click()"
    changed = f"{FIRST_NAME} !== window.before"
    figures.time(page, "list: sort by name", act, changed)
    act = f"window.before = {FIRST_NAME}; button('Next page').click()"
    figures.time(page, "list: next page", act, changed)
    act = "one('.chip.failed').click()"
    is_filtered = "one('table.jobs tbody .status')?.classList.contains('failed')"
    figures.time(page, "list: filter by status", act, is_filtered)
    page.get_by_role("button", name="failed").click()
    page.locator(
        "table.jobs tbody .status.running, table.jobs tbody .status.queued"
    ).first.wait_for()
    act = "one('thead .pick input').click()"
    figures.time(
        page, "list: select the page", act, "one('.selection')?.textContent.includes('25 ')"
    )
    act = "window.began = performance.now(); button('Select all that match').click()"
    feedback = "one('.selection')?.textContent.includes('Loading')"
    figures.time(page, "list: select 1,000 jobs, feedback", act, feedback)
    selected = "one('.selection').textContent.includes('1,000 selected')"
    milliseconds = page.evaluate(f"since(began, () => {selected})")
    figures.add("list: select 1,000 jobs, selected", milliseconds)
    act = "one('table.jobs tbody .pick input').click()"
    figures.time(
        page, "list: deselect one of 1,000", act, "one('.selection').textContent.includes('999 ')"
    )
    act = "button('Clear the selection').click()"
    figures.time(page, "list: clear the selection", act, "!one('.selection')")


def measure_job(page: Page, url: str, job: str, figures: Figures) -> None:
    """Measure the page of the job with many steps."""
    page.goto(f"{url}/?search=endless")
    link = f"one('td.name a[href=\"/jobs/{job}\"]')"
    page.wait_for_function(f"() => {link}")
    figures.time(page, "job: open", f"{link}.click()", "one('.charts canvas')")
    page.wait_for_timeout(300)
    figures.add("job: longest frame while scrolling", page.evaluate("longestFrame(40)"))
    page.evaluate("scrollTo(0, 0)")
    step = "one('.readout dd').textContent"
    figures.time_cursor(page, "job: move the cursor", step)
    slider = "one('.charts input[type=range]')"
    act = f"{slider}.value = '0.8'; {slider}.dispatchEvent(new Event('input', {{ bubbles: true }}))"
    figures.time(page, "job: smoothing", act, "one('.charts output').textContent === '0.80'")
    act = "one('.charts .readout .entry').click()"
    figures.time(page, "job: hide a line", act, "one('.charts .readout .off')")
    box = "[...document.querySelectorAll('.charts label.inline')]"
    act = f"{box}.find(one => one.textContent === 'Log scale').firstChild.click()"
    figures.time(page, "job: logarithmic scale", act, "location.search.includes('log=1')")
    act = "history.replaceState(null, '', '?from=500000&to=510000'); dispatchEvent(new PopStateEvent('popstate'))"
    figures.time(page, "job: zoom to 1 %", act, "button('Reset zoom')")
    act = "button('Reset zoom').click()"
    figures.time(page, "job: reset the zoom", act, "!button('Reset zoom')")
    act = "button('Jobs').click()"
    figures.time(page, "job: back to the list", act, "one('table.jobs')")


def measure_comparison(page: Page, url: str, jobs: list[str], figures: Figures) -> None:
    """Measure the comparison."""
    page.goto(f"{url}/compare?ids={','.join(jobs)}")
    page.wait_for_function(
        f"() => document.querySelectorAll('.readout .entry').length === {COMPARED} && one('canvas')"
    )
    page.wait_for_timeout(300)
    entry = "document.querySelectorAll('.readout .entry')"
    hidden = "document.querySelectorAll('.readout .off').length"
    figures.time(page, "comparison: first hide", f"{entry}[3].click()", f"{hidden} === 1")
    figures.time(page, "comparison: hide another", f"{entry}[5].click()", f"{hidden} === 2")
    figures.time(page, "comparison: show it", f"{entry}[5].click()", f"{hidden} === 1")
    value = "one('.readout dd').textContent"
    figures.time_cursor(page, "comparison: move the cursor", value)
    act = "button('Use compared-7 as').click()"
    figures.time(
        page, "comparison: choose a baseline", act, "location.search.includes('baseline=')"
    )


if __name__ == "__main__":
    main()
