"""The job page: the outcome of a finished job, the remedy for a failed one, and whether its figures and state are current."""

import contextlib
import os
import re
import signal
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from playwright.sync_api import Page, Route, expect
from starlette.testclient import TestClient

from contracts.base import utc_now
from contracts.record import PhaseRecord
from tests.app.player import Player
from tests.factories import make_metric
from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]
DEADLINE_MS = 5000
"""How soon a page must show that the server is silent, and how long a dialog may wait for it."""


@pytest.fixture
def player(site: Site) -> Player:
    return Player(cast("TestClient", site.service.client))


def tile(page: Page, name: str) -> Any:
    return page.locator(".tiles > div").filter(has=page.get_by_text(name, exact=True))


@contextlib.contextmanager
def frozen(process: int) -> Iterator[None]:
    """Stop a process, as a hung disk or a suspended machine would; continue it at the end of the block."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def test_a_finished_job_begins_with_its_outcome(visit: Visit, site: Site) -> None:
    summary = site.service.get(f"/v1/jobs/{site.finished}/summary")
    page = visit().go(f"/jobs/{site.finished}")
    outcome = page.get_by_label("Outcome", exact=True)

    before, after = summary["base_eval_loss"], summary["eval_loss"]
    expect(outcome.locator(".headline")).to_contain_text(
        f"Eval loss {before:.3f} → {after:.3f} (−{round(100 * (before - after) / before)} %)"
    )
    expect(outcome.locator(".headline")).to_contain_text("perplexity")
    interval = summary["improvement_interval"]
    expect(outcome.get_by_role("img")).to_have_accessible_name(
        re.compile(f"95 % interval {interval['low']:.3f} to {interval['high']:.3f}")
    )
    for verdict in summary["verdicts"]:
        expect(outcome).to_contain_text(verdict["message"])
        if verdict["hint"]:
            expect(outcome).to_contain_text(verdict["hint"])
    above = page.evaluate(
        "document.querySelector('.outcome').getBoundingClientRect().bottom"
        " <= document.querySelector('.tiles').getBoundingClientRect().top"
    )
    assert above


def test_the_log_shows_a_recorded_line_once_and_says_in_chinese_that_it_is_in_english(
    visit: Visit, site: Site
) -> None:
    lines = site.service.get(f"/v1/jobs/{site.finished}/logs?limit=5000")["data"]
    recorded = {each["text"] for each in lines if each["source"] == "record"}
    echoes = [
        each
        for each in lines
        if each["source"] == "output" and each["text"].partition("] ")[2] in recorded
    ]
    assert echoes, "the training process prints the recorded lines too"

    for locale, note in (("zh-CN", "日志为训练程序输出的英文原文。"), ("en-US", "")):
        log = visit(locale=locale).go(f"/jobs/{site.finished}").get_by_role("log")
        expect(log.locator("div")).to_have_count(len(lines) - len(echoes))
        expect(log.locator(".note")).to_have_text([note] if note else [])


def test_the_verdicts_follow_the_language_of_the_page(visit: Visit, site: Site) -> None:
    page = visit().go(f"/jobs/{site.finished}")
    page.get_by_role("button", name="中文").click()

    chinese = site.service.get(f"/v1/jobs/{site.finished}/summary", lang="zh")["verdicts"]
    for verdict in chinese:
        expect(page.get_by_label("训练结果", exact=True)).to_contain_text(verdict["message"])


def test_the_report_labels_each_train_loss_and_shows_the_token_accuracy(
    visit: Visit, site: Site
) -> None:
    summary = site.service.get(f"/v1/jobs/{site.finished}/summary")
    last = site.service.losses(site.finished)[-1]["loss"]
    page = visit().go(f"/jobs/{site.finished}")

    expect(tile(page, "Train loss, last step")).to_contain_text(f"{last:.4f}")
    mean = page.locator(".report div").filter(
        has=page.get_by_text("Train loss, mean of the run", exact=True)
    )
    expect(mean).to_contain_text(f"{summary['train_loss']:.4f}")
    accuracy = page.locator(".report div").filter(has_text="Eval token accuracy")
    before, after = summary["base_eval_token_accuracy"], summary["eval_token_accuracy"]
    expect(accuracy.last).to_contain_text(f"{100 * before:.1f}% → {100 * after:.1f}%")
    page.get_by_role("button", name="中文").click()
    expect(tile(page, "训练 loss（最新一步）")).to_contain_text(f"{last:.4f}")
    expect(page.locator(".report")).to_contain_text("训练 loss（全程均值）")
    assert "最终" not in (page.locator("main").text_content() or "")


def test_a_failed_job_says_what_to_do_and_opens_the_form_at_the_setting(
    visit: Visit, site: Site
) -> None:
    page = visit().go(f"/jobs/{site.failed}")
    expect(page.locator(".failure .hint")).not_to_be_empty()
    for name in ("Eval loss", "Train loss, last step", "Memory", "Tokens/s", "Time left"):
        expect(tile(page, name)).to_have_count(0)

    page.get_by_role("link", name="Fix and resubmit").click()

    model = page.locator("#field-model")
    expect(model).to_have_value("missing/model")
    expect(model).to_be_focused()


def test_attempts_and_files_appear_without_a_reload(
    visit: Visit, site: Site, player: Player
) -> None:
    job = player.submit(queue="outcome", name="outcome")
    claim = player.claim(queue="outcome", worker_id="outcome")
    player.sync(claim, make_metric(1))
    visitor = visit()
    page = visitor.go(f"/jobs/{job}")
    expect(page.locator(".job")).to_have_attribute("data-source", "stream")
    table = page.get_by_label("Attempts · Files")
    expect(table).to_contain_text("running")

    assert player.put_artifact(claim, "output.log").status_code == 201

    # Every 5 s, the stream looks for new events of a job that has not changed otherwise.
    expect(table).to_contain_text("output.log", timeout=4 * DEADLINE_MS)
    player.client.post(f"/v1/jobs/{job}/pause").raise_for_status()
    player.finish(claim, "paused", last_seq=1)
    expect(table).to_contain_text("paused", timeout=4 * DEADLINE_MS)
    expect(table).not_to_contain_text("running")
    visitor.context.close()
    player.client.post(f"/v1/jobs/{job}/cancel").raise_for_status()
    assert player.client.delete(f"/v1/jobs/{job}").is_success


def test_the_run_time_excludes_pauses(visit: Visit, site: Site, player: Player) -> None:
    job = player.submit(queue="outcome", name="outcome")
    claim = player.claim(queue="outcome", worker_id="outcome")
    player.sync(claim, make_metric(1))
    player.client.post(f"/v1/jobs/{job}/pause").raise_for_status()
    player.finish(claim, "paused", last_seq=1)
    visitor = visit()
    visitor.page.clock.install()
    page = visitor.go(f"/jobs/{job}")
    shown = tile(page, "Run time").locator("b")
    expect(shown).to_have_text(re.compile(r"^\d+s$"))

    page.clock.fast_forward("02:00:00")

    expect(shown).to_have_text(re.compile(r"^\d+s$"))
    expect(tile(page, "Run time")).to_contain_text("excluding time queued or paused")
    for name in ("Eval loss", "Time left", "Memory"):
        expect(tile(page, name)).to_have_count(0)
    visitor.context.close()
    player.client.post(f"/v1/jobs/{job}/cancel").raise_for_status()
    assert player.client.delete(f"/v1/jobs/{job}").is_success


@pytest.mark.parametrize(
    ("failure", "field"),
    [
        (("spec_refused", "Lower training.max_length or lora.rank."), "training.max_length"),
        (("disk_full", ""), "checkpoint.keep"),
        (("crashed", ""), None),
        (("oom_gpu", "attempts_exhausted"), "training.max_length"),
    ],
)
def test_a_failed_job_offers_to_change_the_setting_that_caused_the_failure(
    visit: Visit, player: Player, failure: tuple[str, str], field: str | None
) -> None:
    reason, detail = failure
    job = player.submit(queue="outcome", name="outcome")
    claim = player.claim(queue="outcome", worker_id="outcome")
    outcome = {"reason": reason, "detail": detail}
    assert player.finish(claim, "failed", last_seq=0, failure=outcome).is_success
    visitor = visit()

    def replace_reason(route: Route) -> None:
        """Answer as if the attempt had been the last one allowed."""
        answer = route.fetch().json()
        answer["data"][0]["error"]["code"] = detail
        route.fulfill(json=answer)

    if detail == "attempts_exhausted":
        visitor.page.route("**/v1/jobs?search=*", replace_reason)
    page = visitor.go(f"/jobs/{job}")

    link = page.get_by_role("link", name="Fix and resubmit")
    suffix = "" if field is None else f"&field={field}"
    expect(link).to_have_attribute("href", f"/new?from={job}{suffix}")
    visitor.context.close()
    assert player.client.delete(f"/v1/jobs/{job}").is_success


def test_a_frozen_server_is_noticed_within_seconds_and_no_dialog_hangs(
    visit: Visit, site: Site, player: Player
) -> None:
    job = player.submit(queue="outcome", name="outcome")
    claim = player.claim(queue="outcome", worker_id="outcome")
    start = PhaseRecord(seq=1, at=utc_now(), phase="training", total_steps=2000)
    player.sync(claim, start, *(make_metric(step + 1, step) for step in range(1, 41)))
    visitor, editor, lister = visit(), visit(), visit()
    visitor.may_fail = editor.may_fail = lister.may_fail = True
    page = visitor.go(f"/jobs/{job}")
    expect(page.locator(".job")).to_have_attribute("data-source", "stream")
    page.get_by_role("button", name="Pause").click()
    dialog = page.get_by_role("dialog", name="Pause")
    expect(dialog.get_by_role("button")).to_have_text(["Keep training", "Pause job"])
    edit = editor.go(f"/jobs/{job}")
    with edit.expect_response(lambda response: response.url.endswith(job)):
        edit.get_by_role("button", name="Edit").click()
    edit.get_by_label("Name").fill("renamed")
    jobs = lister.go(f"/?search=outcome&ids={job}")
    row = jobs.locator("table.jobs tbody tr")
    expect(row.locator("td.left")).to_have_text(re.compile(r"\ds$"))
    jobs.get_by_label("Selected jobs").get_by_role("button", name="Cancel", exact=True).click()

    with frozen(site.service.parts["api"].pid):
        dialog.get_by_role("button", name="Pause").click()
        edit.get_by_role("button", name="Save", exact=True).click()
        jobs.get_by_role("dialog").get_by_role("button", name="Cancel 1 job").click()
        for window in (page, jobs):
            expect(window.locator(".away")).to_be_visible(timeout=DEADLINE_MS)
            expect(window.get_by_text("last known state")).to_be_visible()
        expect(row.locator("td.left")).to_have_text("—")
        for problem in (
            dialog.get_by_role("alert"),
            edit.get_by_role("dialog").get_by_role("alert"),
            jobs.locator("dialog .rejected"),
        ):
            expect(problem).to_contain_text("did not respond within 5 s", timeout=2 * DEADLINE_MS)

    for window in (page, jobs):
        expect(window.locator(".away")).to_have_count(0)
        expect(window.get_by_text("last known state")).to_have_count(0)
    for one in (visitor, editor, lister):
        one.context.close()
    player.client.post(f"/v1/jobs/{job}/cancel").raise_for_status()
    player.finish(claim, "cancelled", last_seq=41)
    assert player.client.delete(f"/v1/jobs/{job}").is_success
