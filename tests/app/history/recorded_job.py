"""Records of a training job, and requests for its metrics."""

import random
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import update

from app.db.engine import Database
from app.db.tables import Job
from app.history.schemas import MetricsView
from app.series import blocks
from contracts.attempt import Claim
from contracts.base import utc_now
from contracts.record import EvalRecord, Record
from tests.app.player import Player
from tests.factories import make_metric

LONG = 2 * blocks.LENGTH + 300
"""Enough steps to fill two blocks and start a third."""


def send(player: Player, claim: Claim, records: Sequence[Record]) -> None:
    for start in range(0, len(records), 1000):
        player.sync(claim, *records[start : start + 1000])


def noisy(steps: range, seed: int = 0, **spikes: float) -> list[Record]:
    rng = random.Random(seed)  # noqa: S311  # test data
    losses = {step: 2 + rng.random() for step in steps}
    losses |= {int(step.removeprefix("at_")): value for step, value in spikes.items()}
    return [make_metric(n, step, loss=losses[step]) for n, step in enumerate(steps, start=1)]


def evaluation(seq: int, step: int, loss: float, token_accuracy: float | None = None) -> EvalRecord:
    return EvalRecord(
        seq=seq, at=utc_now(), step=step, loss=loss, tokens=10, token_accuracy=token_accuracy
    )


def interrupt_and_claim(player: Player, database: Database, claim: Claim) -> Claim:
    player.finish(claim, "interrupted")
    with database.writing() as session:
        session.execute(update(Job).values(not_before=None))
    return player.claim()


def metrics(player: Player, job: str, **query: Any) -> Any:
    response = player.get(f"/v1/jobs/{job}/metrics", **query)
    TypeAdapter(MetricsView).validate_python(response, extra="forbid")
    return response


def points_of(response: Any, name: str = "loss") -> list[tuple[int, float | None]]:
    series = response["series"][name]
    return list(zip(series["step"], series["value"], strict=True))
