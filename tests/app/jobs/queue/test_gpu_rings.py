"""A job on several GPUs reaches a host that can start it, and avoids a host with a GPU that it may have broken."""

import hashlib
from typing import Any

import pytest
from sqlalchemy import select

from app.config.settings import Settings
from app.db.engine import Database
from app.db.tables import IdempotencyKey
from app.sweep.sweeper import Sweeper
from contracts.failure import FailureReason
from contracts.job import JobSpec
from tests.app.bellringer import Bellringer
from tests.app.jobs.endings.test_device_failures import break_device, gpu
from tests.app.jobs.queue.gpu_hosts import HUB, ask, card, reserved_host, submit, take
from tests.app.player import Player
from tests.app.sweep.test_sweep import end_retry_delays


def with_gpu(host: str, number: int, count: int = 1) -> dict[str, Any]:
    """Return the description of a worker whose GPU has passed `count` checks, on a host with two GPUs."""
    device = {"kind": "cuda", "uuid": f"GPU-{host}{number}"}
    return gpu(f"{host}-{number}", count) | card(host, number, 2) | {"device": device}


@pytest.mark.parametrize("small", [card("b", 1, 1), {"worker_id": "old"}])
def test_a_small_host_that_takes_the_ring_of_a_large_job_passes_it_on_to_all_ready_workers(
    player: Player, bell: Bellringer, small: dict[str, Any]
) -> None:
    for number in range(2):
        player.hello(**card("a", number, 2))
    submit(player, 2)
    bell.rung.clear()

    for _ in range(3):
        assert player.post_claim(**small).status_code == 204

    assert 2 <= len(bell.rung) <= 6, (
        "one ring for each of the two workers, but not after every claim"
    )
    assert ask(player, card("a", 1, 2), 1) is None
    bell.rung.clear()
    assert player.post_claim(**small).status_code == 204
    assert not bell.rung, "the host is already gathering cards"


def test_a_sweep_rings_for_every_worker_while_only_some_can_start_a_job(
    player: Player, database: Database, settings: Settings, bell: Bellringer
) -> None:
    for number in range(2):
        player.hello(**card("a", number, 2))
    for number in range(3):
        player.hello(**card(f"b{number}", number, 1))
    submit(player, 2)
    bell.rung.clear()

    Sweeper(database, settings, bell).sweep_once()

    assert len(bell.rung) == 5


def test_a_job_leaves_a_host_whose_borrowed_gpu_it_may_have_broken(player: Player) -> None:
    for host in "ab":
        for number in range(2):
            player.hello(**with_gpu(host, number))
    job = submit(player, 2)
    claim = take(player, with_gpu("a", 0), 2)
    evidence = {"card": "GPU-a1", "rank": 1}
    assert player.fail(claim, FailureReason.DEVICE_FAILED, evidence=evidence) == "queued"
    player.hello(**with_gpu("a", 1, 2))

    assert ask(player, with_gpu("a", 0), 2) is None, "it could borrow the GPU again"
    assert ask(player, with_gpu("a", 1, 2), 2) is None
    assert take(player, with_gpu("b", 0), 2).job_id == job


def test_a_host_that_is_reserved_for_a_suspect_job_starts_no_later_one(
    player: Player, database: Database
) -> None:
    job = submit(player, 2)
    break_device(player, take(player, with_gpu("a", 0), 2))
    player.hello(**with_gpu("a", 0, 2))
    assert ask(player, with_gpu("a", 0, 2), 1) is None
    assert reserved_host(database, job) == "a"
    submit(player)
    submit(player, 2)

    assert ask(player, with_gpu("a", 0, 2), 1) is None

    assert reserved_host(database, job) == "a"


def test_the_doorbell_rings_for_the_jobs_behind_a_reserved_job_that_fails_after_a_check(
    player: Player, database: Database, bell: Bellringer
) -> None:
    job = submit(player, 2)
    for host in "ab":
        break_device(player, take(player, with_gpu(host, 0), 2))
        if host == "a":
            player.hello(**with_gpu("a", 0, 2))
    end_retry_delays(database)
    assert ask(player, card("c", 0, 2), 1) is None
    submit(player)
    bell.rung.clear()

    player.hello(**with_gpu("b", 0, 2))

    assert player.job(job)["status"] == "failed"
    assert bell.rung


def test_a_job_on_two_gpus_reports_that_all_workers_are_too_old(
    player: Player,
) -> None:
    job = submit(player, 2)
    player.hello(worker_id="old")

    assert player.job(job)["waiting"]["code"] == "workers_too_old"


@pytest.mark.parametrize("field", ["cards", "free_cards"])
def test_a_claim_with_too_many_cards_is_rejected(player: Player, field: str) -> None:
    sent: dict[str, Any] = {"free_cards": 1, "host_id": "a", "cards": 1} | {field: 10**30}

    assert player.post_claim(**sent).status_code == 400


def test_a_repeated_submission_without_newer_settings_matches_one_of_an_earlier_version(
    player: Player, database: Database
) -> None:
    spec = JobSpec.model_validate({"model": "m", "dataset": HUB})
    body = {"model": "m", "dataset": HUB}
    assert player.client.post("/v1/jobs", json=body, headers={"Idempotency-Key": "k"}).is_success

    with database.reading() as session:
        stored = session.scalars(select(IdempotencyKey)).one()
    newer: dict[str, Any] = {
        "preset": True,
        "resources": True,
        "engine": {"fused_lora"},
        "dataset": {"preference"},
    }
    earlier = spec.model_dump_json(exclude=newer)
    assert stored.fingerprint == hashlib.sha256(earlier.encode()).hexdigest()
