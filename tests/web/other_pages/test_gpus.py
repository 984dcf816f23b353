"""The page says why a job is waiting for GPUs, and how many GPUs a new job would use."""

from collections.abc import Callable

from playwright.sync_api import expect

from contracts.attempt import WorkerInfo
from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]
TEXTS = {
    "en-US": (
        "Needs 8 GPUs; the largest host that has the model team/model has 2.",
        "Trains on 8 GPUs of one host.",
    ),
    "zh-CN": (
        "需要 8 张 GPU，而装有模型 team/model 的最大主机只有 2 张。",
        "使用同一台主机上的 8 张 GPU 训练。",
    ),
}


def announce_host(site: Site) -> None:
    """Announce a worker with two GPUs in its own queue."""
    worker = WorkerInfo(worker_id="two-gpus", queue="wide", host_id="host", cards=2)
    site.announce(worker)


def test_a_job_that_needs_more_gpus_than_any_host_has_says_so_in_both_languages(
    visit: Visit, site: Site
) -> None:
    announce_host(site)
    job = site.service.post_job(
        name="eight GPUs",
        model="team/model",
        dataset={"train": {"hub": "team/rows"}},
        queue="wide",
        resources={"gpus": 8},
    )

    for locale, (waiting, planned) in TEXTS.items():
        page = visit(width=390, locale=locale).go(f"/jobs/{job}")
        expect(page.locator(".waiting")).to_contain_text(waiting)
        page.close()
        page = visit(locale=locale).go("/")
        expect(page.locator("table.jobs tr", has_text="eight GPUs")).to_contain_text(waiting)
        page.close()
        page = visit(locale=locale).go(f"/new?from={job}")
        expect(page.locator("#field-resources-gpus")).to_have_value("8")
        expect(page.locator("aside")).to_contain_text(planned)
        expect(page.locator("aside").get_by_role("status")).to_contain_text(waiting)
        page.locator("#field-resources-gpus").fill("2")
        expect(page.locator("aside").get_by_role("status")).to_have_count(0)
        page.close()
        page = visit(locale=locale).go("/workers")
        expect(page.locator(".workers .card", has_text="two-gpus")).to_contain_text(
            "2 GPUs" if locale == "en-US" else "2 张 GPU"
        )
        page.close()
    site.service.cancel(job)
    # Other tests count the jobs of the list.
    site.service.client.delete(f"/v1/jobs/{job}").raise_for_status()
