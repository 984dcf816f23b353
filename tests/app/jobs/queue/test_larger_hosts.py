"""A job for all GPUs is left to a larger host, but not forever."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.db.engine import Database
from app.db.tables import Job
from tests.app.bellringer import Bellringer
from tests.app.jobs.endings.test_device_failures import gpu
from tests.app.jobs.queue.gpu_hosts import ask, card, reserved_host, silence_host, submit, take
from tests.app.jobs.queue.test_gpus import chinese
from tests.app.player import Player


def move_back(database: Database, job: str, minutes: int) -> None:
    """Move the deadlines of a job's waits for particular hosts back by this many minutes."""
    with database.writing() as session:
        stored = session.scalars(select(Job).where(Job.id == job)).one()
        for name in ("larger_until", "reserved_until"):
            until = getattr(stored, name)
            if until is not None:
                setattr(stored, name, until - timedelta(minutes=minutes))


def test_a_small_host_leaves_a_job_for_all_gpus_to_a_larger_one_and_takes_the_next(
    player: Player, bell: Bellringer
) -> None:
    player.hello(**card("big", 1, 4))
    job, small = submit(player, "all"), submit(player)
    bell.rung.clear()

    assert take(player, card("one", 1, 1), 1).job_id == small

    assert bell.rung == ["default"], (
        "the small host may have consumed the ring meant for the large one"
    )
    claim = take(player, card("big", 1, 4), 4)
    assert (claim.job_id, claim.gpus) == (job, 4)


def test_a_small_host_takes_the_job_if_the_larger_one_does_not_claim_it_in_time(
    player: Player, database: Database
) -> None:
    player.hello(**card("big", 1, 4))
    job = submit(player, "all")
    before = player.job(job)
    assert before["waiting"] is None
    assert ask(player, card("two", 1, 2), 2) is None
    after = player.job(job)
    found = after["waiting"]
    values = (found["code"], found["host"], found["gpus"])
    assert values == ("left_to_larger_host", "big.example", 4)
    assert found["until"][11:16] in found["message"]
    assert "4 张 GPU" in chinese(player, job)
    assert after["version"] > before["version"], "long polls and streams must notice"
    move_back(database, job, 29)
    assert ask(player, card("two", 1, 2), 2) is None
    move_back(database, job, 1)
    assert player.job(job)["waiting"] is None

    claim = take(player, card("two", 1, 2), 2)

    assert (claim.job_id, claim.gpus) == (job, 2)


def test_a_small_host_takes_the_job_if_the_larger_one_is_reserved_but_does_not_start_it_in_time(
    player: Player, database: Database
) -> None:
    job = submit(player, "all")
    assert ask(player, card("big", 1, 4), 3) is None
    assert ask(player, card("one", 1, 1), 1) is None, "it is reserved for four GPUs"
    assert reserved_host(database, job) == "big"
    move_back(database, job, 30)

    assert take(player, card("one", 1, 1), 1).job_id == job


@pytest.mark.parametrize(
    "larger",
    [
        card("big", 1, 4) | {"models": ["other"]},
        card("big", 1, 4) | {"queue": "other"},
        card("big", 1, 4) | gpu("big-1", passed=False),
        card("two", 2, 2),
    ],
)
def test_a_job_is_not_left_to_a_host_that_cannot_run_it_on_more_gpus(
    player: Player, larger: dict[str, Any]
) -> None:
    two = card("two", 1, 2) | {"models": ["tiny-qwen2"]}
    player.hello(**two)
    player.hello(**larger)
    job = submit(player, "all")

    assert take(player, two, 2).job_id == job


def test_a_job_is_not_left_to_a_dead_host(player: Player, database: Database) -> None:
    player.hello(**card("big", 1, 4))
    job = submit(player, "all")
    assert ask(player, card("one", 1, 1), 1) is None
    silence_host(database, "big")

    assert take(player, card("one", 1, 1), 1).job_id == job


def test_a_job_that_is_left_to_a_larger_host_does_not_block_one_for_another_model(
    player: Player,
) -> None:
    player.hello(**card("big", 1, 4) | {"models": ["team/a"]})
    both = {"models": ["team/a", "team/b"]}
    player.hello(**card("two", 1, 2) | both)
    submit(player, "all", model="team/a")
    job = submit(player, "all", model="team/b")

    assert take(player, card("two", 1, 2) | both, 2).job_id == job


def test_a_job_is_not_left_to_a_host_that_would_run_it_on_no_more_gpus(player: Player) -> None:
    player.hello(**card("big", 1, 4))
    training = {"per_device_batch_size": 1, "gradient_accumulation_steps": 2}
    job = submit(player, "all", training=training)

    assert take(player, card("two", 1, 2), 2).job_id == job
