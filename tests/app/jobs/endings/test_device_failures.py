"""A single failed device never fails a job, but a job that broke two devices fails if both then pass their checks."""

from typing import Any

import pytest
from sqlalchemy import func, select

from app.db.engine import Database
from app.db.tables import DeviceFailure, Job
from contracts.attempt import Claim
from contracts.base import utc_now
from contracts.failure import FailureReason
from contracts.protocol.wire import CLAIM_PATH
from contracts.record import CheckpointRecord
from tests.app.player import WORKER, Player
from tests.app.sweep.test_sweep import end_retry_delays


def gpu(name: str, count: int = 1, *, passed: bool = True, **info: Any) -> dict[str, Any]:
    """Return the description of a worker whose GPU has passed `count` checks; `passed` is the result of the latest check."""
    check = {"passed": passed, "count": count, "reason": "" if passed else "it broke"}
    return {"worker_id": name, "device_check": check, "device": {"kind": "cuda"}} | info


def unchecked(name: str, count: int = 1) -> dict[str, Any]:
    """Return the description of a worker whose GPU failed during an attempt and has not been checked since."""
    check = {"passed": False, "pending": True, "count": count, "reason": "it broke"}
    return gpu(name) | {"device_check": check}


def break_device(player: Player, claim: Claim, detail: str = "CUDA error: launch failure") -> str:
    return player.fail(claim, FailureReason.DEVICE_FAILED, detail=detail, step=7)


def codes(player: Player, job: str) -> list[str]:
    return [event["code"] for event in player.get(f"/v1/jobs/{job}/events")["data"]]


def failures(database: Database) -> int:
    """Return how many device failures count against jobs."""
    counts = select(func.count()).where(DeviceFailure.passed_at.is_not(None))
    with database.reading() as session:
        return session.scalar(counts.where(DeviceFailure.blames_job)) or 0


def is_claimable(player: Player) -> bool:
    """Return whether another worker can claim a job; if so, that worker hands the job back."""
    response = player.post_claim(worker_id="other")
    if response.status_code == 204:
        return False
    claim = Claim.model_validate_json(response.content)
    assert player.finish(claim, "interrupted").status_code == 200
    return True


def test_a_job_is_queued_again_without_counting_a_loss_if_its_device_fails_and_then_fails_its_check(
    player: Player, database: Database
) -> None:
    job = player.submit()

    for number in range(1, 6):
        claim = player.claim(**gpu(f"gpu-{number}"))
        assert claim.number == number
        assert break_device(player, claim) == "queued"
        player.hello(**gpu(f"gpu-{number}", passed=False))

    with database.reading() as session:
        stored = session.scalars(select(Job)).one()
        assert (stored.losses, stored.not_before) == (0, None)
    assert failures(database) == 0
    assert player.job(job)["status"] == "queued"
    claim = player.claim(worker_id="healthy")
    player.succeed(claim)


def test_a_job_cannot_be_claimed_until_the_check_of_the_device_that_it_broke_has_ended(
    player: Player,
) -> None:
    player.submit()
    break_device(player, player.claim(**gpu("a")))

    assert not is_claimable(player)
    player.hello(**unchecked("a"))
    assert not is_claimable(player)
    player.hello(**gpu("a"))  # sent before the failure
    assert not is_claimable(player)
    player.hello(**gpu("a", passed=False))
    assert is_claimable(player)


def test_a_job_waits_only_a_minute_for_a_check_whose_result_does_not_arrive(
    player: Player, database: Database
) -> None:
    player.submit()
    break_device(player, player.claim(**gpu("a")))

    with database.reading() as session:
        job, failure = (
            session.scalars(select(Job)).one(),
            session.scalars(select(DeviceFailure)).one(),
        )
        assert job.not_before is not None
        assert (job.not_before - failure.failed_at).total_seconds() == 60
    end_retry_delays(database)
    assert is_claimable(player)


def test_a_job_that_broke_two_devices_fails_once_both_pass_their_checks_even_if_others_try_to_claim_it(
    player: Player,
) -> None:
    job = player.submit()
    break_device(player, player.claim(**gpu("a", 4)))
    assert not is_claimable(player)
    player.hello(**gpu("a", 5))
    break_device(player, player.claim(**gpu("b")), "CUDA error: device-side assert triggered")
    assert not is_claimable(player)
    player.hello(**gpu("a", 5))
    player.hello(**gpu("b", 1))
    assert player.job(job)["status"] == "queued"

    player.hello(**gpu("b", 2))

    seen = player.job(job)
    error = seen["error"]
    assert (seen["status"], error["code"], error["step"]) == ("failed", "device_failed", 7)
    assert "attempt 1 on a and attempt 2 on b" in error["detail"]
    assert "device-side assert triggered" in error["detail"]
    assert seen["ended_at"] is not None
    assert codes(player, job)[-2:] == ["device_check_passed", "job_failed"]
    assert player.post_claim(**gpu("a", 5)).status_code == 204


def test_a_running_job_that_has_broken_two_devices_fails_when_it_breaks_a_third(
    player: Player, database: Database
) -> None:
    job = player.submit()
    for name in ("a", "b"):
        break_device(player, player.claim(**gpu(name)))
        end_retry_delays(database)
    third = player.claim(**gpu("c"))
    for name in ("a", "b"):
        player.hello(**gpu(name, 2))
    assert (player.job(job)["status"], failures(database)) == ("running", 2)

    assert break_device(player, third) == "failed"

    assert "attempt 1 on a and attempt 2 on b" in player.job(job)["error"]["detail"]


def test_a_job_stays_queued_while_only_one_of_the_two_devices_that_it_broke_has_passed_a_check(
    player: Player, database: Database
) -> None:
    job = player.submit()
    break_device(player, player.claim(**gpu("a")))
    player.hello(**gpu("a", 2))
    break_device(player, player.claim(**gpu("b")))

    player.hello(**gpu("b", passed=False))
    player.hello(worker_id="b", device={"kind": "cuda"})

    assert (player.job(job)["status"], failures(database)) == ("queued", 1)


def test_two_workers_with_the_same_gpu_are_one_device(player: Player) -> None:
    job = player.submit()
    device = {"kind": "cuda", "uuid": "GPU-1"}
    for name in ("a", "b"):
        break_device(player, player.claim(**gpu(name, device=device)))
        player.hello(**gpu(name, 2, device=device))

    assert player.job(job)["status"] == "queued"


def test_a_job_fails_after_it_has_broken_the_same_device_three_times_without_a_new_checkpoint(
    player: Player,
) -> None:
    job = player.submit()
    for number, checkpoint in ((1, 0), (2, 0), (3, 5), (4, 5), (5, 5)):
        claim = player.claim(**gpu("a", number))
        assert claim.number == number
        if checkpoint:
            name = f"step-{checkpoint:08d}"
            player.sync(claim, CheckpointRecord(seq=1, at=utc_now(), step=checkpoint, name=name))
        assert break_device(player, claim) == "queued"

    assert player.post_claim(**gpu("a", 6)).status_code == 204

    assert player.job(job)["error"]["code"] == "device_failed"


def test_a_paused_job_that_broke_two_devices_fails_once_both_pass_their_checks(
    player: Player,
) -> None:
    job = player.submit()
    break_device(player, player.claim(**gpu("a")))
    player.hello(**gpu("a", 2))
    break_device(player, player.claim(**gpu("b")))
    player.client.post(f"/v1/jobs/{job}/pause")
    assert player.job(job)["status"] == "paused"

    player.hello(**gpu("b", 2))

    assert player.job(job)["status"] == "failed"


def test_after_a_retry_earlier_failures_do_not_count_even_if_their_checks_pass_later(
    player: Player, database: Database
) -> None:
    job = player.submit()
    for name in ("a", "b"):
        break_device(player, player.claim(**gpu(name)))
        player.hello(**gpu(name, 2))
    assert player.job(job)["status"] == "failed"
    assert player.client.post(f"/v1/jobs/{job}/retry").status_code == 200
    assert failures(database) == 0

    break_device(player, player.claim(**gpu("c")))
    assert player.client.post(f"/v1/jobs/{job}/cancel").status_code == 200
    assert player.client.post(f"/v1/jobs/{job}/retry").status_code == 200
    player.hello(**gpu("c", 2))
    assert failures(database) == 0
    break_device(player, player.claim(**gpu("d")))
    player.hello(**gpu("d", 2))

    assert (player.job(job)["status"], failures(database)) == ("queued", 1)


def test_a_repeated_finish_does_not_count_twice(player: Player, database: Database) -> None:
    player.submit()
    claim = player.claim(**gpu("a"))
    break_device(player, claim)
    player.hello(**gpu("a", 2))

    assert break_device(player, claim) == "queued"
    player.hello(**gpu("a", 3))

    assert failures(database) == 1


def test_a_rejected_finish_counts_against_no_job(player: Player, database: Database) -> None:
    player.submit()
    claim = player.claim(**gpu("a"))
    assert player.finish(claim, "interrupted").status_code == 200

    late = player.finish(claim, "failed", failure={"reason": FailureReason.DEVICE_FAILED})

    assert late.json()["error"]["code"] == "attempt_superseded"
    player.hello(**gpu("a", 2))
    assert failures(database) == 0


def test_no_job_fails_when_a_worker_of_an_earlier_version_calls_its_device_unusable(
    player: Player,
) -> None:
    player.submit()

    assert player.fail(player.claim(worker_id="old"), FailureReason.DEVICE_UNUSABLE) == "queued"


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


def test_a_device_check_changes_no_job_that_has_ended_or_was_deleted(
    player: Player, database: Database
) -> None:
    ended, deleted = player.submit(), player.submit()
    break_device(player, player.claim(**gpu("a")))
    end_retry_delays(database)
    player.succeed(player.claim(worker_id="other"))
    break_device(player, player.claim(**gpu("b")))
    assert player.client.delete(f"/v1/jobs/{deleted}").status_code == 200

    player.hello(**gpu("a", 2))
    player.hello(**gpu("b", 2))

    assert player.job(ended)["status"] == "succeeded"
    assert "device_check_passed" not in codes(player, ended)


def test_a_claim_from_a_worker_of_an_earlier_version_may_omit_the_state_of_its_device(
    player: Player,
) -> None:
    player.submit()

    response = player.client.post(CLAIM_PATH, json={"worker": {"worker_id": "old"}}, headers=WORKER)

    assert response.status_code == 200
