"""Every page: its content, no errors, accessible names, both languages and themes, a phone's width and the keyboard."""

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import tiny_rows
from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]

UNNAMED = """() => [...document.querySelectorAll('button, a[href], input, select, textarea, [role=img], dialog')]
  .filter(element => {
    const labels = [...(element.labels ?? [])].map(label => label.textContent).join('');
    const name = element.getAttribute('aria-label') || labels || element.textContent || element.title;
    return !name.trim();
  })
  .map(element => element.outerHTML.slice(0, 200))"""
"""Finds controls without an accessible name."""


def wait_for_heading(page: Page) -> None:
    """Wait until a page shows its heading."""
    page.wait_for_load_state("load")
    expect(page.locator("h1").first).to_be_visible()


@pytest.mark.parametrize(
    ("width", "locale", "theme"), [(1280, "en-US", "dark"), (360, "zh-CN", "light")]
)
def test_every_page_fits_and_has_no_errors_and_no_unnamed_controls(
    visit: Visit, site: Site, width: int, locale: str, theme: str
) -> None:
    visitor = visit(width=width, locale=locale, theme=theme)
    for path in site.paths:
        page = visitor.go(path)
        wait_for_heading(page)
        assert page.evaluate("document.documentElement.lang") == (
            "zh-CN" if locale == "zh-CN" else "en"
        )
        assert page.evaluate(UNNAMED) == [], path
        too_wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert too_wide <= 0, path
        assert page.evaluate("document.querySelectorAll('h1').length") == 1, path
    chinese = re.compile(r"[\u4e00-\u9fff]")
    # The button that switches the language is labelled in the other language.
    page.locator("header.top button").first.evaluate("button => button.remove()")
    assert bool(chinese.search(page.locator("header.top").inner_text())) == (locale == "zh-CN")


def test_the_job_list_searches_and_filters_and_keeps_both_in_the_url(
    visit: Visit, site: Site
) -> None:
    visitor = visit()
    page = visitor.go("/")
    rows = page.locator("table.jobs tbody tr")
    expect(rows).to_have_count(3)

    page.get_by_label("Search", exact=True).fill("RUNN")
    expect(rows).to_have_count(1)
    assert "search=RUNN" in page.url
    page.reload()
    expect(rows).to_have_count(1)
    expect(page.get_by_label("Search", exact=True)).to_have_value("RUNN")
    page.get_by_label("Search", exact=True).fill("")
    expect(rows).to_have_count(3)
    page.get_by_role("button", name="failed").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("missing/model")
    page.get_by_role("button", name="failed").click()
    page.get_by_label("Label").fill("team:web")
    expect(rows).to_have_count(1)
    expect(rows.locator("polyline")).to_have_count(1)


def test_the_page_can_be_used_with_the_keyboard_alone(visit: Visit, site: Site) -> None:
    visitor = visit()
    page = visitor.go("/")
    expect(page.locator("table.jobs tbody tr")).to_have_count(3)
    page.keyboard.press("/")
    expect(page.get_by_label("Search", exact=True)).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    page.locator("h1").click()
    for _ in range(2):
        page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("x")
    page.wait_for_url(f"**/?ids={site.running}")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/jobs/{site.running}")
    visitor.wait_for_points(3)
    page.keyboard.press("l")
    expect(page.get_by_label("Log scale")).to_be_checked()
    page.keyboard.press("f")
    expect(page.get_by_label("Follow")).not_to_be_checked()
    page.keyboard.press("g")
    expect(page.locator("table.jobs")).to_be_visible()


def test_a_failed_job_shows_the_reason_and_the_fix(visit: Visit, site: Site) -> None:
    error = site.service.job(site.failed)["error"]
    visitor = visit()
    page = visitor.go(f"/jobs/{site.failed}")
    failure = page.locator(".failure")

    expect(failure).to_contain_text(error["message"])
    expect(failure).to_contain_text(error["hint"])
    expect(failure).to_contain_text(error["code"])
    expect(page.get_by_role("button", name="Retry").first).to_be_visible()

    page.get_by_role("button", name="中文").click()

    chinese = site.service.client.get(
        f"/v1/jobs/{site.failed}", headers={"Accept-Language": "zh"}
    ).json()["error"]
    assert chinese["message"] != error["message"]
    expect(failure).to_contain_text(chinese["message"])
    expect(failure).to_contain_text(chinese["hint"])


def test_a_finished_job_shows_its_report_and_offers_its_adapter_for_download(
    visit: Visit, site: Site, tmp_path: Path
) -> None:
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    page = visitor.go(f"/jobs/{site.finished}")
    report = site.service.client.get(
        f"/v1/jobs/{site.finished}/summary?lang=en", headers={"Accept": "text/plain"}
    ).text
    shown = page.get_by_label("Report", exact=True)
    expect(shown).to_contain_text("Train loss, mean of the run")
    shown.get_by_role("button", name="Copy as text").click()
    page.wait_for_function(
        "report => navigator.clipboard.readText().then(text => text === report)", arg=report
    )

    with page.expect_download() as download:
        page.get_by_role("link", name="Download the adapter").click()
    saved = tmp_path / "adapter.zip"
    download.value.save_as(saved)
    assert "adapter_config.json" in zipfile.ZipFile(saved).namelist()
    changed = page.locator(".settings.changed")
    expect(changed).to_contain_text("lora.rank")
    expect(changed).not_to_contain_text("lora.dropout")

    page.get_by_role("button", name="Copy as curl").click()
    page.wait_for_function("navigator.clipboard.readText().then(text => text.startsWith('curl'))")
    body = json.loads(page.evaluate("navigator.clipboard.readText()").split("-d '")[1][:-1])
    again = site.service.client.post("/v1/jobs?dry_run=true", json=body).json()
    assert again["spec"] == site.service.job(site.finished)["spec"]


def test_the_comparison_shows_only_settings_that_differ(visit: Visit, site: Site) -> None:
    visitor = visit()
    page = visitor.go("/")
    page.get_by_label("Select running for comparison").check()
    page.get_by_label("Select finished for comparison").check()
    page.get_by_role("link", name="Compare 2 jobs").click()

    differing = page.locator(".differing")
    expect(differing).to_contain_text("training.max_steps")
    expect(differing).not_to_contain_text("lora.rank")
    adapter = page.get_by_label("Results", exact=True).locator("tr", has_text="Step of the adapter")
    steps = site.service.get(f"/v1/jobs/{site.finished}/summary")["steps"]
    expect(adapter).to_contain_text(str(steps))
    expect(page.get_by_label("Train and eval loss").locator("canvas")).to_have_count(1)
    page.get_by_role("button", name="Use finished as the baseline").click()
    assert f"baseline={site.finished}" in page.url


def test_the_form_shows_each_problem_next_to_its_field_and_submits_the_job(
    visit: Visit, site: Site
) -> None:
    visitor = visit()
    # A rejected dry run is expected, but Chromium logs every 400 to the console.
    visitor.may_fail = True
    page = visitor.go("/new")
    rate = page.locator("#field-training-learning_rate")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#field-model")).to_be_focused()
    expect(page.locator("#field-model")).to_have_attribute("aria-invalid", "true")

    rate.fill("7")
    expect(rate).to_have_attribute("aria-invalid", "true")
    rate.fill("1e-3")
    expect(rate).not_to_have_attribute("aria-invalid", "true")
    page.locator("#field-model").select_option(label="Another model from the Hub…")
    page.locator("#field-model").fill("not a model!")
    page.get_by_label("Upload a file (dataset.train)").set_input_files(
        {"name": "r.jsonl", "mimeType": "application/jsonl", "buffer": tiny_rows(40).encode()}
    )
    expect(page.get_by_role("status").filter(has_text="40 rows")).to_be_visible()
    # Only the server checks the model's name.
    expect(page.locator("#field-model")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Choose a model").select_option("tiny-qwen2")
    page.locator("#field-training-max_length").fill("128")
    page.locator("#field-name").fill("from the form")
    page.reload()
    expect(page.locator("#field-name")).to_have_value("from the form")
    expect(page.locator(".fresh")).to_contain_text("3 steps over 39 rows, 1 held out")
    request_body = json.loads(
        (page.locator("aside pre").text_content() or "").split("-d '")[1][:-1]
    )

    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**/jobs/job_*")

    job = site.service.job(page.url.rsplit("/", 1)[1])
    assert job["name"] == "from the form"
    assert job["spec"]["training"]["learning_rate"] == 1e-3
    assert request_body["training"] == {"learning_rate": 1e-3, "max_length": 128}
    assert request_body["dataset"] == {"train": job["spec"]["dataset"]["train"]}

    # Try the buttons for pause, resume, cancel, clone and delete. All except clone ask for confirmation.
    for name, status in (("Pause", "paused"), ("Resume", "queued"), ("Cancel", "cancelled")):
        page.get_by_role("button", name=name).first.click()
        page.get_by_role("dialog").get_by_role("button", name=f"{name} job", exact=True).click()
        expect(page.locator(".status").first).to_contain_text(status)
        assert site.service.job(job["id"])["status"] == status
    page.get_by_role("link", name="Clone").click()
    expect(page.locator("#field-name")).to_have_value("from the form")
    expect(rate).to_have_value("0.001")
    page.go_back()
    page.get_by_role("button", name="Delete").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("table.jobs tbody tr")).to_have_count(3)
    assert site.service.client.get(f"/v1/jobs/{job['id']}").status_code == 404


@pytest.mark.parametrize("job", ["job_missing", "%E0%A4%A", "job_0123456789abcdef01234567"])
def test_a_missing_job_is_reported_without_a_failed_request(
    visit: Visit, site: Site, job: str
) -> None:
    visitor = visit()
    page = visitor.go(f"/jobs/{job}")
    missing = page.get_by_role("alert")

    expect(missing).to_contain_text(f"Job {job} does not exist")

    missing.get_by_role("link", name="Back to the job list").click()
    expect(page.locator("table.jobs tbody tr")).to_have_count(3)


def test_the_page_of_a_deleted_job_says_so(visit: Visit, site: Site) -> None:
    data = {"train": {"hub": "team/rows"}}
    job = site.service.post_job(model="team/model", dataset=data, queue="deleted")
    visitor = visit()
    visitor.may_fail = True  # requests after the deletion fail
    page = visitor.go(f"/jobs/{job}")
    expect(page.locator(".job")).to_be_visible()

    site.service.client.post(f"/v1/jobs/{job}/cancel").raise_for_status()
    site.service.client.delete(f"/v1/jobs/{job}").raise_for_status()

    expect(page.get_by_role("alert")).to_contain_text("does not exist")
    # Another page, because errors of the first one may still arrive. No request of this one fails.
    page = visit().go(f"/jobs/{job}")
    expect(page.get_by_role("alert")).to_contain_text("does not exist")


def test_no_figure_on_the_job_page_is_truncated(visit: Visit, site: Site) -> None:
    visitor = visit(width=812)  # where tiles are narrowest
    page = visitor.go(f"/jobs/{site.running}")
    visitor.wait_for_points(12)
    page.wait_for_function("/min .* @ /.test(document.querySelector('.tiles').innerText)")

    cut = """() => [...document.querySelectorAll('.tiles small')]
      .filter(element => element.scrollWidth > element.clientWidth).map(element => element.innerText)"""

    assert page.evaluate(cut) == []
