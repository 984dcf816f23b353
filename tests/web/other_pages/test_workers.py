"""The workers page shows which device has failed, why and since when."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from playwright.sync_api import expect

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

    for locale, failed, online, ago in (
        ("en-US", "device failed", "online", "20m"),
        ("zh-CN", "设备故障", "在线", "20"),
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
