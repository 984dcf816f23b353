"""A failed device costs no job; a job that breaks two devices, which then pass their checks, fails."""

from typing import Any

import pytest
from sqlalchemy import select

from app.db.engine import Database
from app.db.tables import Job, Worker
from contracts.attempt import Claim
from contracts.failure import FailureReason
from contracts.wire import CLAIM_PATH
from tests.app.player import WORKER, Player

BROKEN = {"passed": False, "count": 1, "reason": "CUDA error: uncorrectable ECC error"}


def gpu(name: str, *, passed: bool = True, count: int = 1, **info: Any) -> dict[str, Any]:
    """Return the description of a worker whose GPU has passed `count` checks and now works or not."""
    check = {"passed": passed, "count": count, "reason": "" if passed else "it broke"}
    return {"worker_id": name, "device_check": check, "device": {"kind": "cuda"}} | info


def break_device(player: Player, claim: Claim, detail: str = "CUDA error: launch failure") -> str:
    return player.fail(claim, FailureReason.DEVICE_FAILED, detail=detail, step=7)


def codes(player: Player, job: str) -> list[str]:
    return [event["code"] for event in player.get(f"/v1/jobs/{job}/events")["data"]]


def failures(database: Database) -> int:
    with database.reading() as session:
        return session.scalars(select(Job.device_failures)).one()


def test_a_failed_device_returns_the_job_without_a_delay_and_does_not_count_as_a_loss(
    player: Player, database: Database
) -> None:
    job = player.submit()

    for number in range(1, 6):
        claim = player.claim(**gpu(f"gpu-{number}"))
        assert claim.number == number
        assert break_device(player, claim) == "queued"

    with database.reading() as session:
        stored = session.scalars(select(Job)).one()
        assert (stored.losses, stored.not_before, stored.device_failures) == (0, None, 0)
    assert player.job(job)["status"] == "queued"
    claim = player.claim(worker_id="healthy")
    player.succeed(claim)


def test_a_failed_device_that_its_worker_does_not_check_counts_as_a_loss(player: Player) -> None:
    job = player.submit()

    assert break_device(player, player.claim(worker_id="cpu")) == "queued"

    assert player.job(job)["status"] == "queued"
    assert player.post_claim(worker_id="cpu").status_code == 204, "the job waits before its retry"


@pytest.mark.parametrize(("action", "status"), [("cancel", "cancelled"), ("pause", "paused")])
def test_a_pending_request_takes_effect_when_the_device_fails(
    player: Player, action: str, status: str
) -> None:
    job = player.submit()
    claim = player.claim(**gpu("a"))
    player.client.post(f"/v1/jobs/{job}/{action}")

    assert break_device(player, claim) == status


def test_a_job_that_breaks_two_devices_that_then_pass_their_checks_fails_and_names_both(
    player: Player, database: Database
) -> None:
    job = player.submit()
    break_device(player, player.claim(**gpu("a", count=4)))
    player.hello(**gpu("a", passed=False, count=4))
    break_device(player, player.claim(**gpu("b")), "CUDA error: device-side assert triggered")

    player.hello(**gpu("a", count=5))
    assert (player.job(job)["status"], failures(database)) == ("queued", 1)
    player.hello(**gpu("a", count=5))
    player.hello(**gpu("b", count=1))
    assert (player.job(job)["status"], failures(database)) == ("queued", 1)
    player.hello(**gpu("b", count=2))

    seen = player.job(job)
    assert (seen["status"], seen["error"]["code"], seen["error"]["step"]) == (
        "failed",
        "device_failed",
        7,
    )
    assert "attempt 1 on a and attempt 2 on b" in seen["error"]["detail"]
    assert "device-side assert triggered" in seen["error"]["detail"]
    assert seen["ended_at"] is not None
    assert codes(player, job)[-3:] == ["device_check_passed", "device_check_passed", "job_failed"]
    assert player.post_claim(**gpu("a", count=5)).status_code == 204


def test_a_job_stays_queued_while_only_one_of_its_two_broken_devices_has_passed_a_check(
    player: Player, database: Database
) -> None:
    job = player.submit()
    break_device(player, player.claim(**gpu("a")))
    break_device(player, player.claim(**gpu("b")))

    player.hello(**gpu("a", count=2))
    player.hello(**gpu("b", passed=False, count=1))
    player.hello(worker_id="b", device={"kind": "cuda"})

    assert (player.job(job)["status"], failures(database)) == ("queued", 1)


def test_a_job_that_breaks_the_same_device_twice_fails_at_the_claim_that_announces_the_check(
    player: Player,
) -> None:
    job = player.submit()
    for count in (1, 2):
        break_device(player, player.claim(**gpu("a", count=count)))

    assert player.post_claim(**gpu("a", count=3)).status_code == 204

    assert player.job(job)["error"]["code"] == "device_failed"


def test_a_paused_job_fails_too_but_a_running_one_only_after_it_breaks_another_device(
    player: Player, database: Database
) -> None:
    job = player.submit()
    break_device(player, player.claim(**gpu("a")))
    break_device(player, player.claim(**gpu("b")))
    third = player.claim(**gpu("c"))

    player.hello(**gpu("a", count=2))
    player.hello(**gpu("b", count=2))
    assert (player.job(job)["status"], failures(database)) == ("running", 2)

    break_device(player, third)
    player.client.post(f"/v1/jobs/{job}/pause")
    assert player.job(job)["status"] == "paused"
    player.hello(**gpu("c", count=2))
    assert player.job(job)["status"] == "failed"
    assert "attempt 2 on b and attempt 3 on c" in player.job(job)["error"]["detail"]


def test_a_retry_resets_the_number_of_device_failures(player: Player, database: Database) -> None:
    job = player.submit()
    for name in ("a", "b"):
        break_device(player, player.claim(**gpu(name)))
        player.hello(**gpu(name, count=2))
    assert player.job(job)["status"] == "failed"

    assert player.client.post(f"/v1/jobs/{job}/retry").status_code == 200
    assert failures(database) == 0
    break_device(player, player.claim(**gpu("a", count=2)))
    player.hello(**gpu("a", count=3))

    assert (player.job(job)["status"], failures(database)) == ("queued", 1)


def test_the_check_of_a_device_changes_no_job_that_has_ended_or_was_deleted(player: Player) -> None:
    ended, deleted = player.submit(), player.submit()
    break_device(player, player.claim(**gpu("a")))
    player.succeed(player.claim(worker_id="other"))
    break_device(player, player.claim(**gpu("b")))
    assert player.client.delete(f"/v1/jobs/{deleted}").status_code == 200

    player.hello(**gpu("a", count=2))
    player.hello(**gpu("b", count=2))

    assert player.job(ended)["status"] == "succeeded"
    assert "device_check_passed" not in codes(player, ended)


def test_a_repeated_finish_neither_counts_twice_nor_makes_the_worker_suspect_again(
    player: Player, database: Database
) -> None:
    player.submit()
    claim = player.claim(**gpu("a"))
    break_device(player, claim)
    player.hello(**gpu("a", count=2))

    assert break_device(player, claim) == "queued"
    player.hello(**gpu("a", count=3))

    assert failures(database) == 1


def test_a_rejected_finish_does_not_make_its_worker_suspect(
    player: Player, database: Database
) -> None:
    player.submit()
    claim = player.claim(**gpu("a"))
    assert player.finish(claim, "interrupted").status_code == 200

    late = player.finish(claim, "failed", failure={"reason": FailureReason.DEVICE_FAILED})

    assert late.json()["error"]["code"] == "attempt_superseded"
    with database.reading() as session:
        assert session.scalars(select(Worker.suspect_attempt_id)).one() is None


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


def test_a_new_job_needs_a_worker_that_has_its_model_and_a_device_that_works(
    player: Player,
) -> None:
    for name in ("a", "b"):
        player.hello(**gpu(name, passed=False, models=["rare"]))
    assert player.post_job(model="anything").status_code == 201, "as if no worker were live"
    player.hello(**gpu("c", models=["common"]))
    player.hello(worker_id="d", models=["common"])

    assert player.post_job(model="rare").json()["error"]["code"] == "model_not_found"


def test_a_job_waits_for_the_failed_device_of_the_only_worker_that_has_its_model(
    player: Player,
) -> None:
    job = player.submit(model="rare")
    player.hello(**gpu("has-it", passed=False, models=["rare"]))

    assert player.post_claim(worker_id="lacks-it", models=["common"]).status_code == 204
    assert player.job(job)["status"] == "queued"
    claim = player.claim(**gpu("has-it", count=2, models=["rare"]))
    assert claim.job_id == job


def test_a_message_from_a_worker_of_an_earlier_version_needs_no_state_of_its_device(
    player: Player,
) -> None:
    player.submit()

    response = player.client.post(CLAIM_PATH, json={"worker": {"worker_id": "old"}}, headers=WORKER)

    assert response.status_code == 200
