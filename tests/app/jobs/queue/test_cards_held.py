"""A claim names the cards that the worker holds, so the server can keep jobs away from cards that may be faulty."""

from typing import Any

import pytest
from sqlalchemy import select

from app.db.engine import Database
from app.db.tables import DeviceFailure
from contracts.attempt import Claim
from contracts.failure import FailureReason
from tests.app.jobs.endings.test_device_failures import gpu
from tests.app.jobs.queue.gpu_hosts import card, reserved_host, submit
from tests.app.player import Player
from tests.app.sweep.test_sweep import end_retry_delays


def worker(number: int, count: int = 1, host: str = "a", cards: int = 3) -> dict[str, Any]:
    """Return the description of a worker whose GPU has passed `count` checks."""
    device = {"kind": "cuda", "uuid": uuid(number, host)}
    return gpu("", count) | card(host, number, cards) | {"device": device}


def uuid(number: int, host: str = "a") -> str:
    return f"GPU-{host}{number}"


def ask(player: Player, number: int, *others: int, count: int = 1) -> Claim | None:
    """Claim as the worker of the first GPU, which has borrowed the other ones."""
    held = [uuid(each) for each in (number, *others)]
    response = player.post_claim(
        free_cards=len(held), cards_held=held, **worker(number, count=count)
    )
    assert response.status_code in {200, 204}, response.text
    return Claim.model_validate_json(response.content) if response.content else None


def take(player: Player, number: int, *others: int, count: int = 1) -> Claim:
    claim = ask(player, number, *others, count=count)
    assert claim is not None
    return claim


def break_card(player: Player, claim: Claim, number: int) -> None:
    evidence = {"card": uuid(number)}
    assert player.fail(claim, FailureReason.DEVICE_FAILED, evidence=evidence) == "queued"


@pytest.fixture(autouse=True)
def _host(player: Player) -> None:
    for number in range(3):
        player.hello(**worker(number))


def withdraw(player: Player, database: Database, number: int) -> None:
    """Make the server withdraw a GPU, which fails during two jobs and passes its check each time."""
    for count in (2, 3):
        job = submit(player, 2)
        break_card(player, take(player, 0, number), number)
        player.hello(**worker(number, count))
        assert player.client.post(f"/v1/jobs/{job}/cancel").status_code == 200
        end_retry_delays(database)


def test_an_attempt_uses_the_first_cards_that_its_worker_holds(player: Player) -> None:
    submit(player, 2)

    assert take(player, 1, 0, 2).cards == [uuid(1), uuid(0)]


def test_a_job_avoids_the_card_that_failed_during_it(
    player: Player,
) -> None:
    job = submit(player, 2)
    break_card(player, take(player, 0, 1, 2), 1)
    player.hello(**worker(1, 2))
    player.hello(**worker(0, host="b"))

    claim = take(player, 0, 1, 2)

    assert (claim.job_id, claim.cards) == (job, [uuid(0), uuid(2)])


def test_a_host_gathers_cards_for_a_job_without_the_one_that_failed_during_it(
    player: Player, database: Database
) -> None:
    job = submit(player, 2)
    break_card(player, take(player, 0, 1, 2), 1)
    player.hello(**worker(1, 2))

    assert ask(player, 0, 1) is None, "one of these two may have broken"

    assert reserved_host(database, job) == "a"
    assert take(player, 0, 1, 2).cards == [uuid(0), uuid(2)]


def test_a_job_gets_the_card_that_failed_during_it_if_there_is_no_other(player: Player) -> None:
    submit(player, 3)
    break_card(player, take(player, 0, 1, 2), 1)
    player.hello(**worker(1, 2))

    assert take(player, 0, 1, 2).cards == [uuid(0), uuid(2), uuid(1)]


def test_a_card_that_the_server_has_withdrawn_is_not_lent_and_does_not_count(
    player: Player, database: Database
) -> None:
    withdraw(player, database, 1)
    player.hello(**worker(2))
    large = submit(player, 3)
    assert ask(player, 0, 1, 2) is None

    assert player.job(large)["waiting"]["code"] == "too_few_gpus"
    assert player.job(large)["waiting"]["largest_host"] == 2
    job = submit(player, 2)
    claim = take(player, 0, 1, 2)
    assert (claim.job_id, claim.cards) == (job, [uuid(0), uuid(2)])


def test_a_success_clears_every_card_of_the_attempt_of_suspicion(
    player: Player, database: Database
) -> None:
    job = submit(player, 2)
    break_card(player, take(player, 0, 1), 1)
    player.hello(**worker(1, 2))

    claim = take(player, 0, 1, 2, count=2)
    assert claim.cards == [uuid(0), uuid(2)]
    player.succeed(claim)
    with database.reading() as session:
        assert session.scalars(select(DeviceFailure.blames_device)).all() == [True]
    assert player.job(job)["status"] == "succeeded"

    submit(player, 2)
    player.succeed(take(player, 0, 1))
    with database.reading() as session:
        assert session.scalars(select(DeviceFailure.blames_device)).all() == [False]


@pytest.mark.parametrize("held", [["x" * 201], ["GPU"] * 1025, [""], ["a\0"]])
def test_a_claim_with_invalid_card_names_is_rejected(player: Player, held: list[str]) -> None:
    response = player.post_claim(free_cards=1, cards_held=held, host_id="a")

    assert response.status_code == 400


def test_a_worker_whose_gpu_is_lent_names_the_job_and_is_not_ready(player: Player) -> None:
    large = submit(player, 2)
    claim = take(player, 0, 2)
    listed = {each["id"]: each for each in player.get("/v1/workers")["data"]}
    assert [each["current_job"] for each in listed.values()] == [large, None, None]
    assert [each["lends_gpu_to"] for each in listed.values()] == [None, None, large]

    job = submit(player)
    break_card(player, take(player, 1), 1)
    player.hello(**worker(1, 2))
    assert take(player, 1, count=2).job_id == job, "the worker whose GPU is lent cannot run it"

    player.succeed(claim)
    assert [each["lends_gpu_to"] for each in player.get("/v1/workers")["data"]] == [None] * 3
