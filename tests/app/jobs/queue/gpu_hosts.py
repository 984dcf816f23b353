"""Actions of users and workers, and database changes, for tests of jobs on several GPUs."""

from datetime import timedelta
from typing import Any

from sqlalchemy import select

from app.db.engine import Database
from app.db.tables import Job, Worker
from contracts.attempt import Claim
from contracts.failure import FailureReason
from tests.app.player import Player

HUB = {"train": {"hub": "team/rows"}}


def submit(player: Player, gpus: int | str = 1, **changes: Any) -> str:
    return player.submit(dataset=HUB, resources={"gpus": gpus}, **changes)


def card(host: str, number: int, cards: int) -> dict[str, Any]:
    """Return the description of the worker that runs on one card of a host."""
    return {
        "worker_id": f"{host}-{number}",
        "host": f"{host}.example",
        "host_id": host,
        "cards": cards,
        "models": None,
    }


def ask(player: Player, worker: dict[str, Any], free: int) -> Claim | None:
    """Claim a job with this many free cards; return None if the worker gets none."""
    response = player.post_claim(free_cards=free, **worker)
    assert response.status_code in {200, 204}, response.text
    return Claim.model_validate_json(response.content) if response.content else None


def take(player: Player, worker: dict[str, Any], free: int) -> Claim:
    """Claim a job with this many free cards; the worker must get one."""
    claim = ask(player, worker, free)
    assert claim is not None
    return claim


def end(player: Player, claim: Claim) -> None:
    assert player.fail(claim, FailureReason.LOSS_NOT_FINITE) == "failed"


def reserved_host(database: Database, job: str) -> str | None:
    with database.reading() as session:
        return session.scalar(select(Job.reserved_host).where(Job.id == job))


def silence_host(database: Database, host: str) -> None:
    """Make the workers of a host look silent for two minutes."""
    with database.writing() as session:
        for worker in session.scalars(select(Worker).where(Worker.id.startswith(f"{host}-"))):
            worker.last_seen_at -= timedelta(minutes=2)
