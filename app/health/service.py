"""Judges a running job when its worker reports, and acknowledges findings.

The cost is bounded. Each job has a trace of limited size, which syncs extend, and the rules run at most once every
JUDGE_SECONDS. Between judgements, the trace of a job with few steps per second is not read at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from app.db.engine import database_now
from app.db.ids import is_id
from app.errors.kinds import FindingNotFound, JobNotFound
from app.events import store as events
from app.health import raised, store
from app.health.raised import RaisedFinding
from app.health.store import StoredTrace
from app.jobs import service as jobs
from app.jobs import store as job_rows
from app.jobs.schemas import JobView
from app.jobs.views import current_health
from app.series.store import list_numbers
from contracts.failure import Language
from contracts.job import Phase, load_stored_spec
from contracts.record import EvalRecord, MetricRecord, Record
from contracts.verdicts.health import judge_health
from contracts.verdicts.machine import FEWEST_SAMPLES, Conditions
from contracts.verdicts.trace import Step, Trace

JUDGE_SECONDS = 2.0
"""Minimum number of seconds between judgements of a job."""
MANY_RECORDS = 100
"""With this many new records, a sync extends the trace even if no judgement is due, which avoids reading them again
later."""
MOST_RECORDS = 2000
"""Maximum number of stored records that a judgement reads."""


class Progress(NamedTuple):
    """The progress of a run, including the current sync."""

    job_id: str
    attempt_id: str
    number: int
    phase: Phase | None
    total_steps: int | None
    acked_seq: int
    judged_seq: int
    judged_at: datetime | None
    health: list[dict[str, Any]] | None


@dataclass(frozen=True)
class Judgement:
    """Columns to write, and new findings."""

    judged_seq: int
    judged_at: datetime | None
    health: list[dict[str, Any]] | None
    raised: Sequence[RaisedFinding] = field(default_factory=list)


def judge_run(
    session: Session,
    run: Progress,
    fresh: Sequence[Record],
    now: datetime,
    *,
    is_ending: bool = False,
) -> Judgement | None:
    """Extend the job's trace with its new records and judge the run. Returns None if nothing is due.

    The caller must have locked the job and the attempt, and stored the records `fresh`. `is_ending`: this is the last
    judgement.
    """
    is_due = is_ending or run.judged_at is None or _seconds(run.judged_at, now) >= JUDGE_SECONDS
    if not is_due and len(fresh) < MANY_RECORDS:
        return None
    stored = store.find_trace(session, run.job_id)
    trace = Trace.decode(stored.trace) if stored else _new_trace(session, run.job_id)
    before = trace.last_step
    judged_seq = _extend(session, trace, run, fresh)
    stepped_at = stored.stepped_at if stored and stored.attempt == run.number else None
    if run.phase is not Phase.TRAINING or is_ending:
        stepped_at = None
    elif stepped_at is None or trace.last_step != before:
        stepped_at = now
    kept = StoredTrace(trace.encode(), run.number, stepped_at)
    if stored is None:
        store.insert_trace(session, run.job_id, kept)
    elif kept != stored:
        store.update_trace(session, run.job_id, kept)
    if not is_due:
        return Judgement(judged_seq, run.judged_at, run.health)
    held = raised.load(run.health)
    conditions = Conditions(
        is_training=stepped_at is not None,
        silent_seconds=0.0 if stepped_at is None else _seconds(stepped_at, now),
        samples=store.list_newest_samples(session, run.attempt_id, FEWEST_SAMPLES),
        held={finding.code for finding in held},
    )
    newest = judge_health(trace, run.total_steps, conditions)
    merged, new = raised.merge(held, newest, now)
    health = run.health if merged == held else raised.dump(merged)
    return Judgement(judged_seq, now, health, new)


def acknowledge(session: Session, job_id: str, code: str, language: Language) -> JobView:
    """Acknowledge a finding and return its job. Does nothing if it is already acknowledged.

    Raises JobNotFound, or FindingNotFound if the job does not have this finding.
    """
    job = job_rows.find_and_lock(session, job_id) if is_id(job_id) else None
    if job is None:
        raise JobNotFound(job=job_id[:100])
    shown = [finding.code for finding in current_health(job)]
    if code not in shown:
        codes = ", ".join(shown) or "–"
        raise FindingNotFound("code", job=job_id, finding=code[:100], codes=codes)
    now = database_now(session)
    held = raised.load(job.health)
    changed = [each.acknowledged(now) if each.code == code else each for each in held]
    if changed != held:
        job_rows.update_health(session, job_id, raised.dump(changed))
        events.insert_event(session, job_id, "health_acknowledged", now, finding=code)
        session.flush()
    return jobs.get_job(session, job_id, language)


def _new_trace(session: Session, job_id: str) -> Trace:
    spec = load_stored_spec(store.find_spec(session, job_id))
    return Trace(
        effective_batch=spec.effective_batch_size, max_grad_norm=spec.training.max_grad_norm
    )


def _extend(session: Session, trace: Trace, run: Progress, fresh: Sequence[Record]) -> int:
    """Add the records after `judged_seq` to the trace. Return the `seq` of the last record in it."""
    start, end = run.judged_seq, run.acked_seq
    if end <= start:
        return start
    if fresh and fresh[0].seq == start + 1:
        steps: list[Step] = []
        for record in fresh:
            if record.seq > end:
                break
            if isinstance(record, MetricRecord):
                if "loss" in record.values:
                    steps.append(_step(record.step, record.values))
            elif isinstance(record, EvalRecord):
                trace.add(steps)
                steps = []
                trace.add_evaluation(record.step, record.loss)
        trace.add(steps)
        return end
    rows = list_numbers(session, run.attempt_id, start, end, limit=MOST_RECORDS)
    for _, kind, step, _, data in rows:
        if kind == "eval":
            trace.add_evaluation(step, float(data["loss"]))
        elif "loss" in data["values"]:
            trace.add([_step(step, {name: float(v) for name, v in data["values"].items()})])
    return rows[-1][0] if len(rows) == MOST_RECORDS else end


def _step(step: int, values: dict[str, float]) -> Step:
    get = values.get
    return Step(
        step,
        values["loss"],
        get("grad_norm", 0.0),
        get("tokens", 0.0),
        get("seconds", 0.0),
    )


def _seconds(since: datetime, now: datetime) -> float:
    return (now - since).total_seconds()
