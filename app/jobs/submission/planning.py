"""Decides which specs the server accepts, and plans a job."""

from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.errors.kinds import DoesNotFit, TooManyGpus
from app.http.unsafe_text import reject_unsafe
from app.jobs.queue import waits
from app.jobs.queue.gpu_need import GpuNeed, find_need
from app.jobs.schemas import Plan
from app.jobs.submission.job_data import (
    JobData,
    count_rows,
    find_data,
    find_warnings,
    require_preference,
)
from app.models import service as models
from app.models.checks import check_model
from app.plans import service as plans
from app.plans.forecast import Least, forecast_job
from app.plans.rows.sample import RowSample
from app.plans.schemas import Forecast, KeptPlan
from app.plans.words import say
from app.workers import service as workers
from contracts.failure import Language
from contracts.job import JobSpec


class Planned(NamedTuple):
    """A job's plan, and what else a submission needs."""

    plan: Plan
    least: Least
    """The memory below which a device does not get the job."""
    data: JobData


def plan_job(
    session: Session,
    spec: JobSpec,
    language: Language,
    now: datetime,
    sample: RowSample | None = None,
) -> Planned:
    """Check a spec against the datasets and models, and plan the job. Raises an AppError that names the field.

    `sample` is the result of job_data.read_rows. Without it, the number of tokens is unknown.
    """
    # The contract accepts these characters, because jobs stored by earlier versions may contain them and must still run.
    reject_unsafe(spec)
    need = _find_gpus(spec)
    data = find_data(session, spec)
    require_preference(spec, data, language)
    installation = models.find_installation(session, spec.queue, spec.model, now)
    model = check_model(session, spec, language, installation, data.features)
    counts = replace(count_rows(spec, data), sample=sample)
    live = installation.live
    waiting = waits.Waiting(need, spec.model, spec.queue, is_mixed=spec.dataset.is_mixed)
    candidates = waits.find_candidates(live, spec.model)
    able = [each for each in candidates if workers.is_able(each) and waiting.permits(each)]
    forecast, least = forecast_job(
        session,
        spec,
        counts,
        installation.facts,
        workers=able,
        offline=[
            each
            for each in models.find_offline(session, spec.queue, spec.model, now)
            if waiting.permits(each)
        ],
        gpus_on=lambda worker: need.on_host(worker.cards),
    )
    largest = waits.largest_host(live, spec.model)
    plan = Plan(
        spec=spec,
        train_rows=counts.train_rows,
        eval_rows=counts.eval_rows,
        steps=counts.steps,
        evaluation=counts.evaluation,
        model=model,
        gpus=need.gpus or (None if largest is None else need.on_host(largest)),
        waiting=waits.find_wait(waiting._replace(least=least), live, language),
        forecast=Forecast.model_validate(say(forecast, language)),
        data_warnings=find_warnings(session, spec, data, language),
    )
    return Planned(plan, least, data)


def keep_plan(
    session: Session, job_id: str, planned: Planned, sample: RowSample | None, language: Language
) -> None:
    """Store the plan of a new job so that it can be read in both languages. `language` is the one in which it was made."""
    plan = planned.plan
    other: Language = "en" if language == "zh" else "zh"
    translated = (
        find_warnings(session, plan.spec, planned.data, other) if plan.data_warnings else []
    )
    kept = KeptPlan(
        train_rows=plan.train_rows,
        eval_rows=plan.eval_rows,
        steps=plan.steps,
        evaluation=plan.evaluation,
        model=plan.model,
        gpus=plan.gpus,
        data_warnings={language: plan.data_warnings, other: translated},
    )
    plans.keep_plan(session, job_id, kept, plan.forecast, sample)


def require_fit(plan: Plan) -> None:
    """Raise DoesNotFit unless the job is known to fit a live worker."""
    forecast = plan.forecast
    if not forecast.fits:
        reason = forecast.reason.message if forecast.reason else ""
        raise DoesNotFit("require_fit", reason=reason)


def _find_gpus(spec: JobSpec) -> GpuNeed:
    need = find_need(spec)
    if need.gpus > spec.effective_batch_size:
        raise TooManyGpus("resources.gpus", gpus=need.gpus, samples=spec.effective_batch_size)
    return need
