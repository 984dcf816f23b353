"""The model of a new job is chosen from those on the workers, or typed."""

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from contracts.model_facts import ModelFacts
from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]


def answer_with(
    page: Page, *models: ModelFacts, accepts_other_ids: bool, has_more: bool = False
) -> None:
    """Make the server list models other than its worker's."""

    def fulfill(route: Route) -> None:
        content = [
            {
                **facts.model_dump(exclude={"name"}),
                "id": facts.name,
                "object": "model",
                "created": 1,
                "owned_by": "local",
                "checked": True,
                "available": True,
                "workers": [],
            }
            for facts in models
        ]
        page = {"object": "list", "data": content, "has_more": has_more, "cursor": None}
        route.fulfill(body=json.dumps(page | {"accepts_other_ids": accepts_other_ids}))

    page.route("**/v1/models?*", fulfill)


def test_the_model_is_chosen_from_those_on_the_workers(visit: Visit, site: Site) -> None:
    site.service.client.get("/v1/models/tiny-qwen2").raise_for_status()
    page = visit().go("/new")
    model = page.locator("#field-model")

    model.select_option("tiny-qwen2")

    expect(model.locator("option:checked")).to_contain_text("tiny-qwen2 · ")
    expect(model.locator("option:checked")).to_contain_text("2,048 tokens")
    facts = page.locator(".facts")
    expect(facts).to_contain_text("Qwen2ForCausalLM")
    expect(facts).to_contain_text("1,024 of 2,048 tokens")
    expect(facts).to_contain_text("down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj")
    expect(facts).to_contain_text("Qwen2's stock template")


@pytest.mark.parametrize(
    ("locale", "other", "warning"),
    [
        ("en-US", "Another model from the Hub…", "Not checked: no worker has read the files of"),
        ("zh-CN", "Hub 上的其他模型……", "未检查：工作节点尚未读取"),
    ],
)
def test_a_model_from_the_hub_is_marked_as_not_checked(
    visit: Visit, site: Site, locale: str, other: str, warning: str
) -> None:
    page = visit(locale=locale).go(f"/new?from={site.finished}")
    expect(page.locator(".fresh")).to_be_visible()
    page.locator("#field-model").select_option(label=other)
    page.locator("#field-model").fill("somebody/tiny-qwen")

    expect(page.locator(".warning")).to_contain_text(warning)
    expect(page.locator(".fresh")).to_be_visible()
    page.get_by_role("button", name="tiny-qwen2", exact=True).click()
    expect(page.locator(".warning")).to_have_count(0)
    expect(page.locator("#field-model")).to_have_value("tiny-qwen2")


def test_a_typed_id_may_begin_like_an_installed_model(visit: Visit, site: Site) -> None:
    page = visit().go("/new")
    page.locator("#field-model").select_option(label="Another model from the Hub…")
    expect(page.locator("input#field-model")).to_be_focused()

    page.keyboard.type("tiny-qwen2-x")
    expect(page.locator("#field-model")).to_have_value("tiny-qwen2-x")
    for _ in range(2):
        page.keyboard.press("Backspace")
    page.keyboard.press("Tab")

    expect(page.locator("select#field-model")).to_have_value("tiny-qwen2")


def test_without_the_hub_only_installed_models_can_be_chosen(visit: Visit, site: Site) -> None:
    visitor = visit()
    answer_with(visitor.page, ModelFacts(name="only"), accepts_other_ids=False)
    page = visitor.go(f"/new?from={site.finished}")

    expect(page.locator("#field-model option")).to_have_text(
        ["Choose a model", "tiny-qwen2 (not on any worker)", "only"]
    )
    expect(page.locator("#field-model")).to_have_value("tiny-qwen2")


def test_a_model_beyond_the_listed_ones_can_be_typed(visit: Visit, site: Site) -> None:
    visitor = visit()
    answer_with(visitor.page, ModelFacts(name="first"), accepts_other_ids=False, has_more=True)
    page = visitor.go("/new")
    expect(page.locator("main")).to_contain_text("Only the first 1 model is listed.")

    page.locator("#field-model").select_option(label="Another model on the workers…")
    page.locator("input#field-model").fill("zeta")

    expect(page.locator("#field-model")).to_have_value("zeta")


def test_without_any_model_the_id_is_typed(visit: Visit, site: Site) -> None:
    visitor = visit()
    answer_with(visitor.page, accepts_other_ids=True)
    page = visitor.go("/new")

    page.locator("input#field-model").fill("owner/name")

    expect(page.locator(".warning")).to_contain_text("owner/name")


def test_settings_that_do_not_fit_the_model_are_marked_before_the_job_is_submitted(
    visit: Visit, site: Site
) -> None:
    visitor = visit()
    visitor.may_fail = True
    page = visitor.go(f"/new?from={site.finished}&advanced=1")
    page.locator("#field-training-max_length").fill("100000")
    page.locator("#field-lora-target_modules").fill("q_prj v_proj")

    field = page.locator(".field")
    length = field.filter(has=page.locator("#field-training-max_length")).get_by_role("alert")
    modules = field.filter(has=page.locator("#field-lora-target_modules")).get_by_role("alert")
    expect(length).to_contain_text("must be at most 2048")
    expect(modules).to_contain_text("down_proj, gate_proj")
    expect(page.locator(".facts")).to_contain_text("q_prj: not in this model")
    page.get_by_role("link", name="Layers to adapt").click()
    expect(page.locator("#field-lora-target_modules")).to_be_focused()
