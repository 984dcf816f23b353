"""The page of the uploaded datasets."""

import json
from collections.abc import Callable

from playwright.sync_api import expect

from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]


def test_datasets_are_uploaded_searched_read_used_and_deleted(visit: Visit, site: Site) -> None:
    visitor = visit()
    visitor.may_fail = True
    page = visitor.go("/datasets")
    used = page.locator(".datasets li").filter(has_text="rows.jsonl").first
    expect(used).to_contain_text("Alpaca")
    row = {"instruction": "Name a <b>fruit</b>.", "output": "A pear."}
    content = (json.dumps(row) + "\n").encode() * 3
    page.get_by_label("Upload JSON or JSONL").set_input_files(
        {"name": "pears.jsonl", "mimeType": "application/jsonl", "buffer": content}
    )
    expect(page.locator("main").get_by_role("status")).to_have_text("pears.jsonl: 3 rows")

    page.get_by_role("searchbox").fill("PEARS")
    expect(page.locator(".datasets li")).to_have_count(1)
    assert "search=PEARS" in page.url
    pears = page.locator(".datasets li").filter(has_text="pears.jsonl")
    pears.get_by_role("button", name="First rows").click()
    expect(pears).to_contain_text("Name a <b>fruit</b>.")
    expect(pears).to_contain_text("A pear.")

    pears.get_by_role("link", name="New job").click()
    expect(page.locator("#field-dataset-train")).to_have_value(
        site.service.client.get("/v1/datasets?search=pears").json()["data"][0]["id"]
    )
    page.go_back()
    pears.get_by_role("button", name="Delete dataset").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete dataset").click()
    expect(page.locator("main")).to_contain_text("No dataset matches")
    assert site.service.client.get("/v1/datasets?search=pears").json()["data"] == []

    # A dataset in use stays, and the dialog says which job uses it.
    running = site.service.job(site.running)["spec"]["dataset"]["train"]
    page.get_by_role("searchbox").fill(running)
    page.get_by_role("button", name="Delete dataset").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete dataset").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text(site.running)
