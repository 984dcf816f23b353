"""Judges the health of an attempt's job, and adds the result to a request's changes."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.orm import Session

from app.attempts import store
from app.attempts.progress import AttemptProgress, NewEvent, News, current
from app.events import store as events
from app.health.service import Judgement, Progress, judge_run
from app.jobs import store as jobs
from app.jobs.store import HeldJob
from app.leases.store import HeldAttempt
from contracts.record import Record
from contracts.verdicts.finding import Finding


def judge(
    session: Session, job: HeldJob, attempt: HeldAttempt, news: News, fresh: Sequence[Record]
) -> HeldAttempt:
    """Judge a running job if a judgement is due, and return the updated attempt. The records must already be stored."""
    phase = current(news.job.phase, job.phase)
    total_steps = current(news.job.total_steps, job.total_steps)
    run = _progress(job, attempt)._replace(phase=phase, total_steps=total_steps)
    judged = judge_run(session, run, fresh, attempt.synced_at)
    if judged is None:
        return attempt
    if judged.health != job.health:
        news.job = replace(news.job, health=judged.health)
    news.events += [_event(finding) for finding in judged.raised]
    return _note(session, attempt, judged)


def judge_end(session: Session, attempt: HeldAttempt) -> None:
    """Judge a job whose attempt is about to end, including its last records."""
    job, now = jobs.hold_job(session, attempt.job_id), attempt.synced_at
    judged = judge_run(session, _progress(job, attempt), (), now, is_ending=True)
    if judged is None:
        return
    if judged.health != job.health:
        jobs.update_health(session, job.id, judged.health)
    for code, level, figures in map(_event, judged.raised):
        events.insert_event(
            session, job.id, code, now, attempt=attempt.number, level=level, **figures
        )
    _note(session, attempt, judged)


def _progress(job: HeldJob, attempt: HeldAttempt) -> Progress:
    return Progress(
        job_id=job.id,
        attempt_id=attempt.id,
        number=attempt.number,
        phase=job.phase,
        total_steps=job.total_steps,
        acked_seq=attempt.acked_seq,
        judged_seq=attempt.judged_seq,
        judged_at=attempt.judged_at,
        health=job.health,
    )


def _note(session: Session, attempt: HeldAttempt, judged: Judgement) -> HeldAttempt:
    changes = AttemptProgress(judged_seq=judged.judged_seq)
    if judged.judged_at is not None:
        changes = replace(changes, judged_at=judged.judged_at)
    return store.update_attempt(session, attempt, changes)


def _event(finding: Finding) -> NewEvent:
    figures = {"finding": finding.code.value, "step": finding.step, "values": finding.values}
    return NewEvent("health_raised", finding.level, figures)
