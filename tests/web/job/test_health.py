"""The page shows the findings on a running job: as chips that lead to the step, and as a badge in the list until acknowledged."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import expect
from sqlalchemy import select, update

from app.db.engine import Database
from app.db.tables import Attempt, JobTrace
from contracts.attempt import Claim
from contracts.protocol.wire import CLAIM_PATH
from tests.app.health.judged_job import records_of, sample
from tests.app.player import Player
from tests.e2e.service import WORKER_TOKEN
from tests.recorded.curves import UNHEALTHY, Curve, read_curve
from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]
NAMES = {
    "diverged": ("Diverged", "loss 发散"),
    "plateau": ("Not learning", "loss 未下降"),
    "eval_loss_rising": ("Eval loss rising", "验证 loss 上升"),
    "loss_spike": ("Loss spike", "loss 尖峰"),
    "stalled": ("Stalled", "训练停滞"),
}
SHOWN = {name: code.value for name, code in UNHEALTHY.items()}
FULL_DISK = 1.5e9


def start(site: Site, curve: Curve, name: str) -> Claim:
    """Submit a job to its own queue, and claim it as a worker."""
    site.service.post_job(
        name=name,
        model="team/model",
        dataset={"train": {"hub": "team/rows"}},
        queue="recorded",
        training={
            "per_device_batch_size": curve.effective_batch,
            "gradient_accumulation_steps": 1,
            "max_grad_norm": curve.max_grad_norm,
        },
    )
    response = site.service.client.post(
        CLAIM_PATH,
        content=json.dumps({"worker": {"worker_id": f"recorded-{name}", "queue": "recorded"}}),
        headers={"Authorization": f"Bearer {WORKER_TOKEN}", "Content-Type": "application/json"},
    )
    return Claim.model_validate_json(response.raise_for_status().content)


def age_last_step(site: Site, job: str, seconds: float) -> None:
    """Move a job's last step into the past, and let the next sync judge the job."""
    database = Database(site.service.environment["STEPLINE_DATABASE_URL"])
    with database.writing() as session:
        trace = session.scalars(select(JobTrace).where(JobTrace.job_id == job)).one()
        assert trace.stepped_at is not None
        trace.stepped_at -= timedelta(seconds=seconds)
        session.execute(update(Attempt).where(Attempt.job_id == job).values(judged_at=None))
    database.close()


Claims = dict[str, Claim]


@pytest.fixture
def claimed(site: Site) -> Iterator[Claims]:
    """Yield the claims of running jobs with recorded curves, by name; the spiky one also runs out of disk space.

    Tests request this before `visit`, so that their pages are closed before the jobs are deleted.
    """
    player = Player(site.service.client)
    claims: Claims = {}
    for name in ("healthy_80", *SHOWN):
        curve = read_curve(name)
        claims[name] = start(site, curve, name)
        # All records are in one sync, which the server judges as a whole.
        full = [sample(1, disk_free_bytes=FULL_DISK)] if name == "spiky" else []
        player.sync(claims[name], *records_of(curve), samples=full)
        if curve.silent_seconds is not None:
            age_last_step(site, claims[name].job_id, curve.silent_seconds)
            player.sync(claims[name])
    yield claims
    for claim in claims.values():
        site.service.cancel(claim.job_id)
        player.finish(claim, "cancelled")
        # Other tests count the jobs of the list.
        site.service.client.delete(f"/v1/jobs/{claim.job_id}").raise_for_status()


@pytest.fixture
def recorded(claimed: Claims) -> dict[str, str]:
    """Return the jobs of these claims, by name."""
    return {name: claim.job_id for name, claim in claimed.items()}


@pytest.mark.parametrize(
    ("locale", "language"), [pytest.param("en-US", 0, marks=pytest.mark.slow), ("zh-CN", 1)]
)
def test_recorded_runs_show_the_right_chip_and_badge_and_a_healthy_one_shows_none(
    site: Site, claimed: Claims, visit: Visit, locale: str, language: int
) -> None:
    player = Player(site.service.client)
    window = visit(locale=locale)
    page = window.go("/")
    for name, claim in claimed.items():
        player.sync(claim)  # on a slow machine, the leases would end before the last page is read
        row = page.locator("table.jobs tr", has_text=name)
        badge = row.locator(".badge")
        if name not in SHOWN:
            expect(row).to_be_visible()
            expect(badge).to_have_count(0)
        elif name != "spiky":
            expect(badge).to_have_text(NAMES[SHOWN[name]][language])
        window.go(f"/jobs/{claim.job_id}")
        expect(page.locator(".charts canvas").first).to_be_visible()
        chips = page.locator(".health li")
        verdict = page.locator(".so-far [data-health]")
        if name not in SHOWN:
            expect(chips).to_have_count(0)
            healthy = ("Healthy: no warnings in 80 steps", "状态健康：80 步内没有警告")
            expect(verdict).to_have_text(healthy[language])
        else:
            expect(page.locator(f".health li[data-code={SHOWN[name]}]")).to_contain_text(
                NAMES[SHOWN[name]][language]
            )
            expect(verdict).to_contain_text(NAMES[SHOWN[name]][language])
            assert not [text for text in chips.all_text_contents() if "{" in text]
        window.go("/")
    page.close()


def test_a_chip_leads_to_its_step_and_leaves_the_list_once_acknowledged(
    recorded: dict[str, str], visit: Visit
) -> None:
    window = visit(width=390)
    page = window.go("/")
    badge = page.locator("table.jobs tr", has_text="spiky").locator(".badge")
    expect(badge).to_have_text("Loss spike +1")
    window.go(f"/jobs/{recorded['spiky']}")
    chips = page.locator(".health li")
    expect(chips).to_have_count(2)
    spike = page.locator(".health li[data-code=loss_spike]")
    spike.get_by_role("button", name="step 59").click()
    page.wait_for_url("**from=49&to=69")
    page.keyboard.press("w")
    diamond = page.locator(".charts").get_by_role("button", name="Loss spike · step 59")
    diamond.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**from=49&to=69")
    page.keyboard.press("w")
    page.wait_for_url(lambda url: "from=" not in url)
    diamond.click()
    page.wait_for_url("**from=49&to=69")

    for code in ("loss_spike", "disk_nearly_full"):
        chip = page.locator(f".health li[data-code={code}]")
        chip.get_by_role("button", name="Acknowledge").click()
        expect(chip).to_contain_text("acknowledged")
    window.go("/")
    expect(page.locator("table.jobs tr", has_text="spiky")).to_be_visible()
    expect(badge).to_have_count(0)
    page.close()
