"""The row progress of a phase on the job's page and in the list, in both languages, and the evaluation cost in the form."""

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from playwright.sync_api import Route, expect
from starlette.testclient import TestClient

from contracts.attempt import Claim, RowProgress
from contracts.base import utc_now
from contracts.job import Phase
from contracts.record import PhaseRecord
from tests.app.player import Player
from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]


class Played:
    """A job in its own queue; the test acts as its worker."""

    def __init__(self, site: Site) -> None:
        self.player = Player(cast("TestClient", site.service.client))
        dataset = {"train": self.player.upload(100)}
        self.job = self.player.submit(dataset=dataset, queue="played", name="counting")
        self.claim: Claim = self.player.claim(queue="played", worker_id="played")
        self.seq = 0
        self._ended = threading.Event()
        self._heartbeat = threading.Thread(target=self._send_syncs)
        self._heartbeat.start()

    def end(self) -> None:
        self._ended.set()
        self._heartbeat.join()
        self.player.finish(self.claim, "cancelled", self.seq)
        assert self.player.client.delete(f"/v1/jobs/{self.job}").status_code == 200

    def _send_syncs(self) -> None:
        """Keep renewing the lease, which is short here, because the browser may be slow."""
        while not self._ended.wait(1):
            self.player.send_sync(self.claim)

    def enter(self, phase: Phase, step: int = 0) -> None:
        self.seq += 1
        record = PhaseRecord(seq=self.seq, at=utc_now(), phase=phase, step=step, total_steps=6250)
        self.player.sync(self.claim, record)

    def count(self, phase: Phase, done: int, total: int, left: float | None) -> None:
        rows: Any = RowProgress(
            phase=phase, rows_done=done, rows_total=total, seconds=60, seconds_left=left
        )
        self.player.sync(self.claim, rows=rows)


@pytest.fixture
def played(site: Site) -> Iterator[Played]:
    """The job. Tests request this fixture before `visit`, so that the job is deleted after the browser window is closed."""
    played = Played(site)
    yield played
    played.end()


def test_the_job_page_shows_the_progress_of_the_base_evaluation(
    played: Played, visit: Visit
) -> None:
    played.enter(Phase.EVALUATING)
    played.count(Phase.EVALUATING, 340, 2000, 363)
    page = visit().go(f"/jobs/{played.job}")
    line = page.locator(".rows-done")
    expect(line).to_have_text("Evaluating the base model: 340 of 2,000 rows (17%), 6m 3s left")
    expect(page.locator(".tiles")).to_contain_text("6m 3s in this phase")
    page.wait_for_function("document.title === 'evaluating 17% · counting'")
    box = page.locator(".tiles").bounding_box()

    played.count(Phase.EVALUATING, 1000, 2000, 180)
    expect(line).to_contain_text("1,000 of 2,000 rows (50%), 3m 0s left")

    played.enter(Phase.TRAINING)
    expect(line).not_to_contain_text("rows")
    assert page.locator(".tiles").bounding_box() == box, "the layout has shifted"

    played.enter(Phase.EVALUATING, 500)
    played.count(Phase.EVALUATING, 0, 2000, None)
    expect(line).to_contain_text("2,000 rows (0%)")
    expect(line).not_to_contain_text("left")


def test_the_job_list_and_the_job_page_show_row_progress_in_chinese(
    played: Played, visit: Visit
) -> None:
    played.enter(Phase.TOKENIZING)
    played.count(Phase.TOKENIZING, 3000, 9000, 61)
    row = visit(locale="zh-CN").go("/").locator("table.jobs tbody tr").first
    expect(row).to_contain_text("分词")
    expect(row).to_contain_text("3,000 / 9,000 条")
    expect(row).to_contain_text("本阶段剩余 1 分 1 秒")
    page = visit(locale="zh-CN", width=360).go(f"/jobs/{played.job}")
    expect(page.locator(".rows-done")).to_have_text(
        "正在分词：3,000 / 9,000 条（33%），剩余 1 分 1 秒"
    )
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_the_form_shows_the_cost_of_evaluation(visit: Visit, site: Site) -> None:
    page = visit().go(f"/new?from={site.finished}")

    # 32 training rows in one epoch, 8 held out, evaluated before and after.
    expect(page.locator("aside")).to_contain_text(
        "Evaluation: 2 × 8 rows, 33% of all rows processed (16 of 48)."
    )


def test_a_row_shows_the_run_time_and_not_the_time_from_start_to_end(
    visit: Visit, site: Site
) -> None:
    def pause_for_an_hour(route: Route) -> None:
        jobs = site.service.client.get("/v1/jobs").json()
        for job in jobs["data"]:
            if job["id"] == site.finished:
                assert job["run_seconds"] > 0
                job |= {"started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T01:00:00Z"}
                job |= {"run_seconds": 61.5}
        route.fulfill(json=jobs)

    visitor = visit()
    visitor.page.route(re.compile(r"/v1/jobs\?"), pause_for_an_hour)
    row = visitor.go("/").locator("table.jobs tr", has=visitor.page.get_by_text("finished"))

    expect(row.locator(".left")).to_have_text("took 1m 2s")
