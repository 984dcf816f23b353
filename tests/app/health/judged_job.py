"""A job that sends recorded or made-up records, and its findings."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import select, update

from app.db.engine import Database
from app.db.tables import Attempt, JobTrace
from contracts.attempt import Claim
from contracts.base import utc_now
from contracts.job import Phase
from contracts.record import EvalRecord, MetricRecord, PhaseRecord, Record
from tests.app.player import Player
from tests.recorded.curves import Curve


def records_of(curve: Curve) -> list[Record]:
    """Return the curve as an attempt's records."""
    found: list[Record] = [phase(1)]

    def evaluate(step: int) -> None:
        if step in curve.evaluations:
            seq, loss = len(found) + 1, curve.evaluations[step]
            found.append(EvalRecord(seq=seq, at=utc_now(), step=step, loss=loss, tokens=9))

    evaluate(0)
    for step in curve.steps:
        values = {
            "loss": step.loss,
            "grad_norm": step.grad_norm,
            "tokens": step.tokens,
            "seconds": step.seconds,
        }
        found.append(MetricRecord(seq=len(found) + 1, at=utc_now(), step=step.step, values=values))
        evaluate(step.step)
    return found


def phase(seq: int, name: Phase = Phase.TRAINING) -> PhaseRecord:
    return PhaseRecord(seq=seq, at=utc_now(), phase=name, step=0, total_steps=100)


def send(player: Player, claim: Claim, records: Sequence[Record], size: int = 1000) -> None:
    for start in range(0, len(records), size):
        player.sync(claim, *records[start : start + size])


def start(player: Player, curve: Curve | None = None) -> tuple[str, Claim]:
    """Submit and claim a job, with the batch and the limit of a curve."""
    training = (
        {}
        if curve is None
        else {
            "per_device_batch_size": curve.effective_batch,
            "gradient_accumulation_steps": 1,
            "max_grad_norm": curve.max_grad_norm,
        }
    )
    return player.submit(training=training), player.claim()


def make_due(database: Database) -> None:
    """Make the next sync judge the job, as if JUDGE_SECONDS had passed."""
    with database.writing() as session:
        session.execute(update(Attempt).values(judged_at=None))


def age_last_step(database: Database, seconds: float) -> None:
    """Move the last step this many seconds into the past."""
    make_due(database)
    with database.writing() as session:
        trace = session.scalars(select(JobTrace)).one()
        assert trace.stepped_at is not None
        trace.stepped_at -= timedelta(seconds=seconds)


def health(player: Player, job: str) -> dict[str, Any]:
    """Return the findings of a job by code, after checking that the job list contains the same ones."""
    found = player.job(job)["health"]
    assert player.get("/v1/jobs")["data"][0]["health"] == found
    return {finding["code"]: finding for finding in found}


def acknowledge(player: Player, job: str, code: str) -> Any:
    return player.client.post(f"/v1/jobs/{job}/health/{code}/acknowledge")


def raised(player: Player, job: str) -> list[str]:
    events = player.get(f"/v1/jobs/{job}/events", limit=100)["data"]
    return [each["data"]["finding"] for each in events if each["code"] == "health_raised"]


def sample(seq: int, **values: float) -> dict[str, Any]:
    named = {f"sys.{name}": value for name, value in values.items()}
    return {"seq": seq, "at": utc_now(), "values": named}
