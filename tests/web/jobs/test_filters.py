"""The filters of the job list: the list always shows the jobs that match them."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]


def test_two_filters_changed_in_quick_succession_both_apply(visit: Visit, site: Site) -> None:
    visitor = visit()
    page = visitor.go("/")
    rows = page.locator("table.jobs tbody tr")
    expect(rows).to_have_count(3)

    page.evaluate(
        """() => {
          for (const [name, text] of [['Search', 'unmatched'], ['Label', 'team:web']]) {
            const field = document.querySelector(`input[aria-label=${name}]`);
            field.value = text;
            field.dispatchEvent(new Event('input', { bubbles: true }));
          }
        }"""
    )

    expect(page.get_by_role("link", name="Clear the filters")).to_be_visible()
    assert "search=unmatched" in page.url
    assert "label=team%3Aweb" in page.url

    page.get_by_role("link", name="Clear the filters").click()

    expect(rows).to_have_count(3)
    expect(page.get_by_label("Search", exact=True)).to_have_value("")
    expect(page.get_by_label("Label")).to_have_value("")


def test_a_label_without_a_colon_filters_by_its_key(visit: Visit, site: Site) -> None:
    visitor = visit()
    page = visitor.go("/?label=team:web")
    rows, label = page.locator("table.jobs tbody tr"), page.get_by_label("Label")
    expect(rows).to_have_count(1)
    expect(label).to_have_value("team:web")

    label.fill("tea")
    expect(page.get_by_role("link", name="Clear the filters")).to_be_visible()
    label.fill("team")

    expect(rows).to_have_count(1)
    assert page.url.endswith("label=team")
    page.get_by_label("Main").get_by_role("link", name="Jobs").click()
    expect(label).to_have_value("")
    expect(rows).to_have_count(3)


def test_a_malformed_label_is_marked_and_explained(visit: Visit, site: Site) -> None:
    visitor = visit()
    visitor.may_fail = True
    page = visitor.go("/")
    label = page.get_by_label("Label")

    label.fill(":web")

    expect(label).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("alert")).to_contain_text("key:value")
    label.fill("team:web")
    expect(page.locator("table.jobs tbody tr")).to_have_count(1)
    expect(label).not_to_have_attribute("aria-invalid", "true")


def test_a_rejected_filter_shows_only_its_error(visit: Visit, site: Site) -> None:
    visitor = visit()
    visitor.may_fail = True
    page = visitor.go("/?status=nope")

    expect(page.get_by_role("alert")).to_contain_text("status")
    expect(page.locator("main")).not_to_contain_text("Loading")
