"""The page that lists the uploaded datasets."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.web.conftest import LARGE_BYTES, Site, Visitor

Visit = Callable[..., Visitor]


def test_datasets_are_uploaded_searched_read_used_and_deleted(visit: Visit, site: Site) -> None:
    visitor = visit()
    visitor.may_fail = True
    page = visitor.go("/datasets")
    used = page.locator(".datasets > li").filter(has_text="rows.jsonl").first
    expect(used).to_contain_text("Alpaca")
    content = b"instruction,output\n" + b"Name a <b>fruit</b>.,A pear.\n" * 3
    page.get_by_label("Upload a file").set_input_files(
        {"name": "pears.csv", "mimeType": "text/csv", "buffer": content}
    )
    uploaded = page.locator("main").get_by_role("status").filter(has_text="pears.csv")
    expect(uploaded).to_have_text("pears.csv: 3 rows", timeout=30_000)

    # The review opens automatically, because the rows are identical.
    review = page.get_by_role("region", name="Review")
    expect(review).to_contain_text("Rows that repeat an earlier row: 2.")
    review.get_by_text("First occurrences").click()
    expect(review).to_contain_text("row 2 · line 3 · same as row 1")
    expect(review).to_contain_text("20 to 50 characters")
    assert "review=ds_" in page.url

    page.get_by_role("searchbox").fill("PEARS")
    expect(page.locator(".datasets > li")).to_have_count(1)
    assert "search=PEARS" in page.url
    pears = page.locator(".datasets > li").filter(has_text="pears.csv")
    pears.get_by_role("button", name="First rows").click()
    expect(pears).to_contain_text("Name a <b>fruit</b>.")
    expect(pears).to_contain_text("A pear.")
    _check_tokens(page)

    pears.get_by_role("link", name="New job").click()
    expect(page.locator("#field-dataset-train")).to_have_value(
        site.service.client.get("/v1/datasets?search=pears").json()["data"][0]["id"]
    )
    page.locator("#field-model").select_option(site.service.job(site.running)["spec"]["model"])
    expect(page.locator(".form")).to_contain_text(
        "Training data: Rows that repeat an earlier row: 2."
    )
    counts = page.get_by_role("region", name="Token counts")
    expect(counts).to_contain_text("Length of a row")
    expect(page.locator(".forecast [title^='counted with']").first).to_be_visible()
    page.go_back()
    pears.get_by_role("button", name="Hide review").click()
    expect(review).to_have_count(0)
    pears.get_by_role("button", name="Delete dataset").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete dataset").click()
    expect(page.locator("main")).to_contain_text("No dataset matches")
    assert site.service.client.get("/v1/datasets?search=pears").json()["data"] == []

    # A dataset in use is not deleted, and the dialog says which job uses it.
    running = site.service.job(site.running)["spec"]["dataset"]["train"]
    page.get_by_role("searchbox").fill(running)
    page.get_by_role("button", name="Delete dataset").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete dataset").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text(site.running)


def test_a_dataset_on_the_hub_is_imported_with_progress_or_the_reason_in_either_language(
    visit: Visit, site: Site
) -> None:
    visitor = visit()
    visitor.may_fail = True
    page = visitor.go("/datasets")
    page.get_by_role("button", name="Import from the Hub").click()
    form = page.get_by_role("region", name="Import from the Hub")
    expect(form.get_by_role("button", name="Import")).to_be_disabled()
    form.get_by_label("Repository").fill("../x")
    form.get_by_role("button", name="Import").click()
    expect(form.get_by_role("alert")).to_be_visible()
    form.get_by_label("Repository").fill("team/rows")
    form.get_by_text("Config, format and columns").click()
    form.get_by_role("textbox", name="Columns").fill("instruction")
    form.get_by_role("button", name="Import").click()
    expect(form.get_by_role("alert")).to_contain_text("instruction=question")
    form.get_by_role("textbox", name="Columns").fill("instruction = question, output=a=b")
    form.get_by_role("textbox", name="Config").fill("main")
    form.get_by_label("Format").select_option("Alpaca")
    with page.expect_request("**/v1/dataset-imports") as sent:
        form.get_by_role("button", name="Import").click()
    assert sent.value.post_data_json == {
        "hub": "team/rows",
        "split": "train",
        "revision": None,
        "config": "main",
        "format": "alpaca",
        "columns": {"instruction": "question", "output": "a=b"},
    }

    # No hub is reachable from this service.
    alert = form.get_by_role("alert").filter(has_text="team/rows")
    expect(alert).to_contain_text("The download from the hub failed.", timeout=60_000)
    assert "import=errand_" in page.url
    page.reload()
    expect(form.get_by_role("alert")).to_contain_text("team/rows")


def test_a_large_file_is_checked_while_the_page_shows_its_progress_and_then_its_problems(
    visit: Visit, site: Site
) -> None:
    page = visit().go("/datasets")
    good = b'{"instruction": "Name a fruit.", "output": "A pear."}\n' * (LARGE_BYTES // 50)
    for name, content in (("good.jsonl", good), ("bad.jsonl", good + b'{"output": 7}\n' * 2)):
        page.get_by_label("Upload a file").set_input_files(
            {"name": name, "mimeType": "application/jsonl", "buffer": content}
        )
        card = page.locator(".datasets li").filter(has_text=name)
        expect(card.get_by_role("progressbar")).to_be_visible()
        expect(card.get_by_role("status")).to_contain_text("Checking:")
        expect(card.get_by_role("link", name="New job")).to_have_count(0)
        if name == "good.jsonl":
            done = page.get_by_text("good.jsonl: 20,000 rows", exact=True)
            expect(done).to_be_visible(timeout=30_000)
            expect(card.get_by_role("link", name="New job")).to_be_visible()
        else:
            failure = card.get_by_role("alert")
            expect(failure).to_contain_text("Invalid rows found: 2.", timeout=30_000)
            failure.get_by_text("All 2 problems").click()
            expect(failure.get_by_role("listitem")).to_have_count(2)
            expect(failure.get_by_role("listitem").first).to_contain_text("row 20001, line 20001")
            expect(page.locator("p.problem[role=alert]")).to_contain_text("bad.jsonl: Invalid rows")
    page.goto(site.service.url + "/new")
    options = page.locator("#field-dataset-train option")
    expect(options.filter(has_text="good.jsonl")).to_have_count(1)
    expect(options.filter(has_text="bad.jsonl")).to_have_count(0)
    for dataset in site.service.client.get("/v1/datasets?search=d.jsonl").json()["data"]:
        site.service.client.delete(f"/v1/datasets/{dataset['id']}").raise_for_status()


def _check_tokens(page: Page) -> None:
    """View the tokens of the dataset's rows while training continues."""
    page.get_by_role("button", name="Tokens").click()
    view = page.get_by_role("region", name="Tokens")
    rows = view.get_by_role("article")
    expect(rows).to_have_count(3, timeout=60_000)
    trained = rows.first.locator(".tokens .trained").all_inner_texts()
    assert "".join(trained) == "A pear.<|im_end|>"
    assert "Name a <b>fruit</b>." in rows.first.inner_text()
    counts = page.get_by_role("region", name="Token counts")
    counts.get_by_role("button", name="Count the tokens of all rows").click()
    expect(counts).to_contain_text("Cut at 1,024 tokens", timeout=60_000)
    expect(counts.get_by_role("listitem")).to_have_count(1)  # the rows are identical
    expect(counts.get_by_role("listitem")).to_contain_text("3 rows")
    view.get_by_label("Rows", exact=True).fill("2")
    view.get_by_label("max_length").fill("8")
    view.get_by_label("max_length").press("Enter")
    expect(rows).to_have_count(1, timeout=60_000)
    expect(rows).to_contain_text("cut off")
    expect(rows).to_contain_text("A job skips this row")
    assert "rows=2" in page.url
    view.get_by_label("Rows", exact=True).fill("7")
    view.get_by_label("Rows", exact=True).press("Enter")
    expect(view.get_by_role("alert")).to_contain_text("has no row 7", timeout=60_000)
    page.get_by_role("button", name="Hide tokens").click()
    expect(view).to_have_count(0)


def test_an_upload_without_progress_or_response_fails_after_30_seconds(
    visit: Visit, site: Site
) -> None:
    visitor = visit()
    visitor.may_fail = True
    visitor.page.clock.install()
    page = visitor.go("/datasets")
    page.route("**/v1/datasets", lambda _: None)  # is never answered
    with page.expect_request("**/v1/datasets"):
        page.get_by_label("Upload a file").set_input_files(
            {"name": "rows.json", "mimeType": "application/json", "buffer": b"[]"}
        )
    expect(page.get_by_text("Uploading rows.json")).to_be_visible()

    page.clock.fast_forward(31_000)

    expect(page.get_by_role("alert")).to_contain_text("did not respond within 30 s")
