"""The form for a new job: its models and checks, and where it shows the problems that the server reports."""

import json
import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.e2e.conftest import tiny_rows
from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]


def test_each_field_shows_only_its_own_current_problem(visit: Visit, site: Site) -> None:
    visitor = visit()
    visitor.may_fail = True
    page = visitor.go("/new?advanced=1")
    page.get_by_label("Upload a file (dataset.train)").set_input_files(
        {"name": "bad.jsonl", "mimeType": "application/jsonl", "buffer": b'{"a": 1}\n'}
    )
    train = page.locator(".chooser").filter(has=page.locator("#field-dataset-train"))
    expect(train.get_by_role("alert")).to_contain_text("match no known format")

    page.locator("#field-dataset-train").select_option("hub")

    expect(train.get_by_role("alert")).to_have_count(0)
    page.get_by_label("dataset.train.hub").fill("owner/data")
    page.locator("#field-model").select_option(label="Another model from the Hub…")
    page.locator("#field-model").fill("not a model!")
    page.locator("#field-dataset-eval_size").fill("banana")

    model, share = (
        page.locator(".field").filter(has=page.locator(f"#field-{name}")).get_by_role("alert")
        for name in ("model", "dataset-eval_size")
    )
    expect(model).to_contain_text("directory")
    expect(model).not_to_contain_text("share")
    expect(share).to_contain_text("share")
    expect(page.locator(".submit-bar").get_by_role("alert")).to_have_count(0)
    bar = page.locator(".submit-bar")
    expect(bar.get_by_role("status")).to_contain_text("2 problems: Base model, Rows held out")
    page.locator("#field-training-learning_rate").fill("5")
    rate = page.locator(".field").filter(has=page.locator("#field-training-learning_rate"))
    expect(rate.get_by_role("alert")).to_have_text("Allowed range: > 0 to 1.")


def test_a_message_without_a_list_of_problems_is_shown_unchanged(visit: Visit, site: Site) -> None:
    visitor = visit()
    visitor.may_fail = True
    message = "model: is invalid; dataset.eval_size: is invalid too"
    error = {
        "message": message,
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_field",
    }
    visitor.page.route(
        "**/v1/jobs?dry_run=true",
        lambda route: route.fulfill(status=400, json={"error": error}),
    )
    page = visitor.go(f"/new?from={site.finished}")

    expect(page.locator(".submit-bar").get_by_role("alert")).to_have_text(message)
    expect(page.locator(".field").get_by_role("alert")).to_have_count(0)


def test_submit_scrolls_to_a_problem_from_the_server_that_is_not_visible(
    visit: Visit, site: Site
) -> None:
    visitor = visit()
    visitor.may_fail = True
    page = visitor.go(f"/new?from={site.finished}&advanced=1")
    page.locator("#field-dataset-eval_size").fill("banana")
    expect(page.locator("#field-dataset-eval_size")).to_have_attribute("aria-invalid", "true")
    page.locator("#field-engine-compile").focus()
    expect(page.locator("#field-dataset-eval_size")).not_to_be_in_viewport()

    page.get_by_role("button", name="Submit").click()

    expect(page.locator("#field-dataset-eval_size")).to_be_focused()
    expect(page.locator("#field-dataset-eval_size")).to_be_in_viewport()
    assert "/new" in page.url


def test_submit_moves_the_focus_to_the_first_invalid_field_of_the_page(
    visit: Visit, site: Site
) -> None:
    visitor = visit()
    visitor.may_fail = True  # the server rejects the dry run
    page = visitor.go(f"/new?from={site.finished}&advanced=1")
    page.locator("#field-lora-rank").fill("0")
    page.locator("#field-training-weight_decay").fill("7")
    page.locator("#field-training-epochs").fill("0")
    page.locator("#field-dataset-eval_size").fill("banana")
    share = page.locator(".field").filter(has=page.locator("#field-dataset-eval_size"))
    expect(share.get_by_role("alert")).to_have_count(0)

    page.get_by_role("button", name="Submit").click()

    expect(page.locator("#field-training-epochs")).to_be_focused()
    # Problems that only the server can detect are shown too.
    expect(share.get_by_role("alert")).to_contain_text("share")
    expect(page.locator(".submit-bar").get_by_role("status")).to_contain_text("4 problems")
    expect(page.locator(".fresh")).to_have_count(0)
    # A missing field is named only once.
    page.locator("#field-model").select_option("")
    page.locator("#field-dataset-train").select_option("")
    bar = page.locator(".submit-bar")
    expect(bar.get_by_role("status")).to_contain_text("6 problems: Base model, Training data")
    expect(share.get_by_role("alert")).to_contain_text("share")
    expect(bar.get_by_role("alert")).to_have_count(0)


def test_submit_reports_that_the_server_does_not_respond(visit: Visit, site: Site) -> None:
    visitor = visit()
    visitor.may_fail = True
    page = visitor.go(f"/new?from={site.finished}")
    expect(page.locator("#field-name")).to_have_value("finished")
    expect(page.locator(".submit-bar").get_by_role("alert")).to_have_count(0)
    page.route("**/v1/jobs", lambda route: route.abort())

    page.get_by_role("button", name="Submit").click()

    expect(page.locator("form").get_by_role("alert")).to_contain_text("No response")
    assert "/new" in page.url


def test_seven_fields_come_first_and_a_link_opens_the_advanced_ones(
    visit: Visit, site: Site
) -> None:
    page = visit(width=390).go("/new")
    expect(page.locator(".field:visible")).to_have_count(7)
    page.get_by_role("button", name=re.compile("Advanced")).click()
    page.locator("#field-lora-rank").fill("0")
    page.get_by_role("button", name=re.compile("Advanced settings 1 changed")).click()
    expect(page.locator("#field-lora-rank")).to_be_hidden()

    # The bar stays visible, and its links lead to hidden fields.
    expect(page.get_by_role("button", name="Submit")).to_be_in_viewport()
    page.get_by_role("link", name="Adapter rank").click()

    expect(page.locator("#field-lora-rank")).to_be_focused()
    expect(page.locator("#field-lora-rank")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_a_link_can_open_the_form_at_a_field(visit: Visit, site: Site) -> None:
    page = visit().go(f"/new?from={site.failed}&field=lora.alpha")

    expect(page.locator("#field-lora-alpha")).to_be_focused()
    expect(page.locator("#field-lora-alpha")).to_be_in_viewport()


def test_a_preset_fills_the_placeholders_and_the_users_input_takes_precedence(
    visit: Visit, site: Site
) -> None:
    for locale, title in (("en-US", "Low memory"), ("zh-CN", "低显存")):
        page = visit(locale=locale).go("/new?advanced=1")
        page.locator("#field-preset").select_option(label=title)
        expect(page.locator("#field-lora-rank")).to_have_attribute("placeholder", "16")
        page.locator("#field-lora-rank").fill("4")

        curl = page.locator("aside pre")
        expect(curl).to_contain_text('"preset": "low-memory"')
        expect(curl).to_contain_text('"rank": 4')
        expect(curl).not_to_contain_text("max_length")
        page.locator("#field-preset").select_option("qwen2.5-3b")
        expect(curl).to_contain_text('"model": "Qwen/Qwen2.5-3B-Instruct"')
        page.locator("#field-preset").select_option("quick-try")
        expect(curl).not_to_contain_text('"model"')
        page.close()


def test_the_plan_is_shown_before_submission_and_compared_with_the_finished_job(
    visit: Visit, site: Site
) -> None:
    for locale, peak, predicted in (
        ("en-US", "Peak memory", "Predicted"),
        ("zh-CN", "内存峰值", "预测"),
    ):
        page = visit(locale=locale).go(f"/new?from={site.finished}")
        forecast = page.locator("aside .forecast")
        row = forecast.locator("dl > div").filter(has_text=peak)
        expect(row).to_contain_text("GiB")
        expect(forecast).to_contain_text("token")
        page.close()
        page = visit(locale=locale).go(f"/jobs/{site.finished}")
        table = page.locator("table.predicted")
        expect(table).to_contain_text(predicted)
        expect(table.locator("tbody tr").filter(has_text=peak)).to_contain_text("iB")
        page.close()


def test_several_datasets_with_weights_can_be_chosen_copied_and_removed(
    visit: Visit, site: Site
) -> None:
    visitor = visit()
    visitor.may_fail = True  # the server rejects the dry run with the weight 0
    first = site.service.upload_dataset(tiny_rows(40))
    second = site.service.upload_dataset(tiny_rows(21))
    page = visitor.go("/new")
    page.locator("#field-model").select_option("tiny-qwen2")
    page.locator("#field-dataset-train").select_option(first)
    expect(page.locator("input.weight")).to_have_count(0)

    page.get_by_role("button", name="Add a dataset").click()
    field = page.locator(".field").filter(has=page.locator("#field-dataset-train"))
    page.get_by_role("button", name="Submit").click()
    expect(field.get_by_role("alert")).to_contain_text("Choose dataset 2 or remove it.")
    part = page.get_by_role("group", name="Dataset 2")
    part.locator("select").select_option(second)
    part.get_by_label("Weight").fill("0")
    expect(field.get_by_role("alert")).to_contain_text("Dataset 2: must be greater than 0")
    part.get_by_label("Weight").fill("0.5")
    page.get_by_role("group", name="Dataset 1").get_by_label("Weight").fill("2")

    # One row is held out of the larger dataset: 2 × 39 + 0.5 × 21, with a half rounded up.
    expect(page.locator(".fresh")).to_contain_text("89 rows")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**/jobs/job_*")
    job = page.url.rpartition("/")[2]
    expect(page.locator(".settings.changed")).to_contain_text(f"{first} × 2, {second} × 0.5")
    site.service.cancel(job)

    page = visitor.go(f"/new?from={job}")
    expect(page.get_by_role("group", name="Dataset 2").locator("select")).to_have_value(second)
    site.service.client.delete(f"/v1/jobs/{job}").raise_for_status()
    page.get_by_role("button", name="Remove dataset 1").click()
    expect(page.locator("#field-dataset-train")).to_have_value(second)
    expect(page.locator("input.weight")).to_have_count(0)
    spec = json.loads(page.locator("aside pre").inner_text().split("-d '")[1].rstrip("'"))
    assert spec["dataset"]["train"] == second
