"""A job's page says in words whether the run is healthy, whether it has helped so far, and which step its adapter is from."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from playwright.sync_api import Page, expect
from starlette.testclient import TestClient

from contracts.attempt import Claim
from contracts.base import utc_now
from contracts.record import EvalRecord, PhaseRecord
from tests.app.player import Player
from tests.factories import make_metric, make_summary
from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]
QUEUE = "so-far"


Start = Callable[..., tuple[str, Claim]]


@pytest.fixture
def player(site: Site) -> Player:
    return Player(cast("TestClient", site.service.client))


@pytest.fixture
def start(player: Player) -> Iterator[Start]:
    """Submit and claim jobs. Tests request this before `visit`, so that their pages are closed before the jobs are deleted."""
    started: list[tuple[str, Claim]] = []

    def submit_and_claim(**spec: Any) -> tuple[str, Claim]:
        job = player.submit(queue=QUEUE, **spec)
        started.append((job, player.claim(queue=QUEUE, worker_id=QUEUE)))
        return started[-1]

    yield submit_and_claim
    for job, claim in started:
        player.client.post(f"/v1/jobs/{job}/cancel")
        player.finish(claim, "cancelled")
        player.client.delete(f"/v1/jobs/{job}").raise_for_status()


def switch_language(page: Page) -> None:
    page.locator("header.top").get_by_role("button", name="中文").click()


def evaluation(seq: int, step: int, loss: float) -> EvalRecord:
    return EvalRecord(seq=seq, at=utc_now(), step=step, loss=loss, tokens=100)


def test_a_running_job_says_how_its_eval_loss_has_changed_so_far(
    start: Start, visit: Visit, player: Player
) -> None:
    job, claim = start(name="gain", evaluation={"every_steps": 40})
    player.sync(claim, PhaseRecord(seq=1, at=utc_now(), phase="training", total_steps=120))
    page = visit().go(f"/jobs/{job}")
    line = page.get_by_label("So far")
    expect(line).to_contain_text("Health: no steps to judge yet")
    expect(line).to_contain_text("First evaluation at step 40")

    player.sync(claim, evaluation(2, 0, 2.0), make_metric(3, 1))

    expect(line).to_contain_text("Healthy: no warnings in 1 step")
    expect(line).to_contain_text("First evaluation at step 40eval loss of the base model: 2.000")
    metrics = [make_metric(step + 2, step) for step in range(2, 41)]
    player.sync(claim, *metrics, evaluation(43, 40, 1.5))
    expect(line).to_contain_text("Healthy: no warnings in 40 steps")
    expect(line).to_contain_text("Eval loss 2.000 → 1.500 (−25 %)from the base model to step 40")
    metrics = [make_metric(step + 3, step) for step in range(41, 81)]
    player.sync(claim, *metrics, evaluation(84, 80, 1.6))
    expect(line).to_contain_text("(−20 %)from the base model to step 80lowest 1.500 at step 40")
    switch_language(page)
    line = page.get_by_label("当前进展")
    expect(line).to_contain_text("状态健康：80 步内没有警告")
    expect(line).to_contain_text("验证 loss 2.000 → 1.600（−20 %）从基座模型到第 80 步")


def test_the_advice_on_spikes_depends_on_their_number(
    start: Start, visit: Visit, player: Player
) -> None:
    job, claim = start(name="spikes")
    losses = [9.0 if step in {40, 60} else 2.0 for step in range(1, 71)]
    # In one sync, because the server does not judge a run again within two seconds.
    player.sync(claim, *(make_metric(n, n, loss=loss) for n, loss in enumerate(losses, 1)))
    page = visit().go(f"/jobs/{job}")
    chip = page.locator(".health li[data-code=loss_spike]")

    expect(chip).to_contain_text("Spikes so far: 2.")

    expect(chip).to_contain_text("lower the learning rate, and check the data")
    expect(chip).not_to_contain_text("harmless")
    health = page.locator(".so-far [data-health]")
    expect(health).to_have_text("Needs attention after 70 steps: Loss spike")
    switch_language(page)
    expect(chip).to_contain_text("建议降低学习率，并检查数据")
    expect(health).to_have_text("需要关注（已训练 70 步）：loss 尖峰")


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        (
            1.5,
            (
                "adapter from step 20, the lowest of 3 evaluationslast step, 30: 1.600",
                "1.5000adapter of step 20",
            ),
        ),
        (
            1.6,
            (
                "adapter from the last step, 30lowest at step 20: 1.500",
                "1.6000adapter of step 30 · min 1.5000 @ 20",
            ),
        ),
    ],
    ids=["of the best step", "of the last step"],
)
def test_a_finished_job_says_which_step_its_adapter_is_from(
    start: Start, visit: Visit, player: Player, kept: float, shown: tuple[str, str]
) -> None:
    headline, tile = shown
    evaluations = [(10, 1.8), (20, 1.5), (30, 1.6)]
    job, claim = start(name="adapter")
    player.sync(claim, PhaseRecord(seq=1, at=utc_now(), phase="training", total_steps=60))
    player.sync(claim, *(evaluation(n, *point) for n, point in enumerate(evaluations, 2)))
    player.sync(claim, make_metric(5, 30))
    assert player.put_artifact(claim).is_success
    summary = make_summary(
        steps=30,
        eval_loss=kept,
        evaluations=[{"step": step, "loss": loss} for step, loss in evaluations],
    )
    assert player.finish(claim, "succeeded", last_seq=5, step=30, summary=summary).is_success

    page = visit().go(f"/jobs/{job}")

    expect(page.locator(".outcome .headline")).to_contain_text(headline)
    steps = page.locator(".tiles > div").first
    expect(steps).to_have_text("Step30of 60 · stopped early")
    expect(page.get_by_role("progressbar", name="Progress")).to_have_attribute("value", "100")
    expect(page.locator(".tiles > div", has_text="Eval loss").locator("dd")).to_have_text(tile)
    switch_language(page)
    expect(page.locator(".outcome .headline")).to_contain_text("适配器取自")
