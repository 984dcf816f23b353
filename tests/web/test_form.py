"""Where the form for a new job shows the problems that the server reports."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]


def test_each_field_shows_only_its_own_current_problem(visit: Visit, site: Site) -> None:
    visitor = visit()
    visitor.may_fail = True
    page = visitor.go("/new")
    page.get_by_label("Upload JSON or JSONL (dataset.train)").set_input_files(
        {"name": "bad.jsonl", "mimeType": "application/jsonl", "buffer": b'{"a": 1}\n'}
    )
    train = page.locator(".chooser").filter(has=page.locator("#field-dataset-train"))
    expect(train.get_by_role("status")).to_contain_text("match no known format")

    page.locator("#field-dataset-train").select_option("hub")

    expect(train.get_by_role("status")).to_have_count(0)
    page.get_by_label("dataset.train.hub").fill("owner/data")
    page.locator("#field-model").fill("not a model!")
    page.locator("#field-dataset-eval_size").fill("banana")

    model, share = (
        page.locator(".field").filter(has=page.locator(f"#field-{name}")).get_by_role("alert")
        for name in ("model", "dataset-eval_size")
    )
    expect(model).to_contain_text("directory")
    expect(model).not_to_contain_text("share")
    expect(share).to_contain_text("share")
    expect(page.locator("aside").get_by_role("alert")).to_have_count(0)


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

    expect(page.locator("aside").get_by_role("alert")).to_have_text(message)
    expect(page.locator(".field").get_by_role("alert")).to_have_count(0)
