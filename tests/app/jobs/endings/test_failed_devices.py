"""A device that has failed, or is the likely cause of failures, gets no jobs and takes no rings from other workers."""

from typing import Any

import pytest

from tests.app.bellringer import Bellringer
from tests.app.jobs.endings.test_device_failures import break_device, gpu
from tests.app.player import Player

BROKEN = {
    "passed": False,
    "pending": False,
    "count": 1,
    "reason": "CUDA error: uncorrectable ECC error",
}
STARTS = ("2026-11-28T10:00:00Z", "2026-11-28T11:00:00Z")


def device_check(player: Player, name: str) -> Any:
    [found] = [w["device_check"] for w in player.get("/v1/workers")["data"] if w["id"] == name]
    return found


def break_with_two_jobs(player: Player, started_at: str = STARTS[0]) -> list[str]:
    """Make the device of worker a fail during two jobs and pass its check each time."""
    submitted = [player.submit(), player.submit()]
    for count in (1, 2):
        break_device(player, player.claim(**gpu("a", count, started_at=started_at)))
    return submitted


def test_a_device_that_fails_during_two_jobs_gets_no_job_until_its_worker_restarts(
    player: Player,
) -> None:
    submitted = break_with_two_jobs(player)

    assert player.post_claim(**gpu("a", 3, started_at=STARTS[0])).status_code == 204

    check = device_check(player, "a")
    assert not check["passed"]
    assert "until it is restarted" in check["reason"]
    assert all(job in check["reason"] for job in submitted)
    assert check["since"] is not None
    for job in submitted:
        assert player.job(job)["status"] == "queued"
        player.succeed(player.claim(worker_id="healthy"))
    player.submit()
    player.claim(**gpu("a", 4, started_at=STARTS[1]))
    assert device_check(player, "a")["passed"]


def test_a_success_clears_a_device_of_suspicion(player: Player) -> None:
    player.submit()
    break_device(player, player.claim(**gpu("a")))
    other = player.submit()
    claim = player.claim(**gpu("a", 2))
    assert claim.job_id == other, "the job that broke the device comes last"
    player.succeed(claim)
    player.submit(priority=5)
    break_device(player, player.claim(**gpu("a", 2)))

    player.claim(**gpu("a", 3))


def test_a_job_that_breaks_two_devices_counts_against_neither_of_them(player: Player) -> None:
    for number in range(1, 6, 2):
        job = player.submit()
        for name in ("a", "b"):
            claim = player.claim(**gpu(name, number))
            assert claim.job_id == job
            break_device(player, claim)
            player.hello(**gpu(name, number + 1))
        assert player.job(job)["error"]["code"] == "device_failed"

    player.submit()
    player.claim(**gpu("a", 9))
    player.submit()
    player.claim(**gpu("b", 9))


def test_a_worker_leaves_the_job_that_broke_its_device_to_an_idle_worker(
    player: Player, bell: Bellringer
) -> None:
    job = player.submit()
    player.hello(worker_id="b")
    break_device(player, player.claim(**gpu("a")))
    bell.rung.clear()

    assert player.post_claim(**gpu("a", 2)).status_code == 204

    assert bell.rung == ["default", "default"], "one ring for each of the two workers"
    assert player.claim(worker_id="b").job_id == job


@pytest.mark.parametrize("other", ["busy", "without the model", "broken"])
def test_a_worker_takes_the_job_that_broke_its_device_if_no_other_worker_can(
    player: Player, other: str
) -> None:
    if other == "busy":
        player.submit()
        player.claim(worker_id="b")
    job = player.submit()
    break_device(player, player.claim(**gpu("a", models=["tiny-qwen2"])))
    if other == "without the model":
        player.hello(worker_id="b", models=["another"])
    if other == "broken":
        player.hello(**gpu("b", passed=False))

    assert player.claim(**gpu("a", 2, models=["tiny-qwen2"])).job_id == job


def test_a_ring_that_a_worker_with_a_failed_device_takes_is_repeated_for_an_idle_worker(
    player: Player, bell: Bellringer
) -> None:
    idle = {"slot": "a-1", "turn": 1}
    player.submit()
    player.hello(worker_id="b")
    bell.rung.clear()

    player.hello(**gpu("a", passed=False))
    assert bell.rung == [], "the worker has taken no ring"
    player.hello(**gpu("a", passed=False, idle=idle))
    assert bell.rung == ["default"]

    player.claim(worker_id="b")
    player.submit()
    bell.rung.clear()
    player.hello(**gpu("a", passed=False, idle=idle | {"turn": 2}))
    assert bell.rung == [], "no worker would take the ring"


def test_a_job_is_accepted_if_only_a_worker_with_a_failed_device_has_its_model(
    player: Player,
) -> None:
    player.hello(**gpu("a", passed=False, models=["rare"]))
    player.hello(worker_id="b", models=["common"])

    assert player.post_job(model="rare").status_code == 201
    assert player.post_job(model="unknown").json()["error"]["code"] == "model_not_found"


def test_a_worker_whose_device_has_failed_gets_no_job(player: Player) -> None:
    player.submit()

    assert player.post_claim(worker_id="a", device_check=BROKEN).status_code == 204
    assert player.post_claim(worker_id="a", device_check=BROKEN | {"passed": True}).is_success


def test_a_worker_whose_device_has_failed_is_listed_with_the_reason(player: Player) -> None:
    since = "2026-11-28T10:00:00Z"
    player.hello(worker_id="a", device_check=BROKEN | {"since": since})
    player.hello(worker_id="b")

    broken, unchecked = player.get("/v1/workers")["data"]

    assert broken["device_check"] == BROKEN | {"since": since}
    assert broken["live"] is True
    assert unchecked["device_check"] is None


def test_a_job_waits_for_the_failed_device_of_the_only_worker_that_has_its_model(
    player: Player,
) -> None:
    job = player.submit(model="rare")
    player.hello(**gpu("has-it", passed=False, models=["rare"]))

    assert player.post_claim(worker_id="lacks-it", models=["common"]).status_code == 204
    assert player.job(job)["status"] == "queued"
    claim = player.claim(**gpu("has-it", 2, models=["rare"]))
    assert claim.job_id == job
