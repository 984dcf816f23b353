"""The workers page shows which device has failed, why and since when, and the models that a worker has."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from playwright.sync_api import Route, expect

from contracts.attempt import Device, DeviceCheck, WorkerInfo
from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]
REASON = "CUDA error: uncorrectable ECC error encountered"


def announce_failed_device(site: Site) -> None:
    """Announce a worker whose device failed 20 minutes ago. No job is in its queue."""
    worker = WorkerInfo(
        worker_id="broken-gpu",
        queue="unused",
        device=Device(kind="cuda", name="NVIDIA A100", uuid="GPU-1", memory_bytes=80 * 2**30),
        device_check=DeviceCheck(
            passed=False, count=3, reason=REASON, since=datetime.now(UTC) - timedelta(minutes=20)
        ),
    )
    site.announce(worker)


def test_a_failed_device_is_shown_with_its_reason_and_how_long_ago_in_both_languages(
    visit: Visit, site: Site
) -> None:
    announce_failed_device(site)

    for locale, failed, online, ago, lends, any_other in (
        ("en-US", "device failed", "online", "20m", "lends its GPU to", "and any on the Hub"),
        ("zh-CN", "设备故障", "在线", "20", "GPU 已借给", "以及 Hub 上的任意模型"),
    ):
        page = visit(width=390, locale=locale).go("/workers")
        broken = page.locator(".workers .card", has_text="broken-gpu")
        expect(broken.locator(".status")).to_have_text(failed)
        expect(broken).to_contain_text(REASON)
        expect(broken.locator("dd", has_text=REASON)).to_contain_text(ago)
        # Other tests of this service may have announced workers that are offline.
        others = page.locator(".workers .card", has_not_text="broken-gpu")
        expect(others.locator(".status", has_text=online).first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        # The site's worker has one model and can download others.
        models = page.locator(".workers dd", has_text="tiny-qwen2")
        expect(models.first).to_contain_text(any_other)

        def lend(route: Route) -> None:
            answer = route.fetch().json()
            for worker in answer["data"]:
                worker["lends_gpu_to"] = site.running
            route.fulfill(json=answer)

        page.route("**/v1/workers", lend)
        expect(broken).to_contain_text(lends)
        expect(broken.get_by_role("link")).to_have_attribute("href", f"/jobs/{site.running}")
