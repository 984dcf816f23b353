"""Learns from jobs that succeeded: stores their actual figures, and the factors by which the formulas were off."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.db.tables import Attempt, Job, to_json
from app.models import service as models
from app.plans import store
from app.plans.corrections import Measured, device_key, settings_key
from app.plans.devices import Computation, Work, saves_of, work_of
from app.plans.memory import MemoryNeed, Setup
from app.plans.rows.sample import RowSample, unpack_sample
from app.plans.rows.tokens import RowTokens, forecast_tokens
from app.plans.schemas import Actual, Forecast
from contracts.attempt import WorkerInfo
from contracts.job import JobSpec, Phase, load_stored_spec
from contracts.model_facts import ModelFacts
from contracts.run.plan import count_evaluations_after, training_row_passes
from contracts.summary import Summary

MOST_COUNT = 10**10
"""Numbers in a summary above this limit are not plausible."""
_WIDTHS = {"bfloat16": 2, "float32": 4}


@dataclass(frozen=True)
class Finished:
    """A job that succeeded."""

    spec: JobSpec
    summary: Summary
    worker: WorkerInfo
    gpus: int
    forecast: Forecast | None
    sample: RowSample | None
    tokens_per_row: float

    @property
    def tokens(self) -> float:
        """Tokens of all optimizer steps."""
        passes = training_row_passes(self.spec, self.summary.train_rows, self.summary.steps)
        return self.tokens_per_row * passes

    @property
    def supervised_share(self) -> float | None:
        """Share of these tokens that are supervised; None if unknown."""
        counted = self.summary.supervised_tokens
        return counted / self.tokens if counted and counted <= self.tokens else None


def record_outcome(
    session: Session, job: Job, attempt: Attempt, summary: Summary, now: datetime
) -> None:
    """Store a job's actual figures, and the measurements that improve later forecasts.

    The measurements are stored only if the first attempt succeeded, because only an uninterrupted run measures loading and
    the peak of the whole run. Incomplete or implausible summaries are ignored.
    """
    if not _is_plausible(summary):
        return
    assert summary.tokens_per_second and summary.samples_per_second  # noqa: S101, PT018  # they are plausible
    plan = store.find_plan(session, job.id)
    stored = None if plan is None else plan[1]
    found = Finished(
        load_stored_spec(job.spec),
        summary,
        WorkerInfo.model_validate(attempt.worker),
        attempt.gpus,
        None if stored is None else Forecast.model_validate(stored.forecast),
        None if stored is None else unpack_sample(stored.sample),
        summary.tokens_per_second / summary.samples_per_second,
    )
    store.update_actual(session, job.id, to_json(_actual(found)))
    if attempt.number == 1:
        store.insert_result(
            session,
            now,
            model=found.spec.model,
            device=device_key(found.worker.device, found.gpus),
            settings=settings_key(found.spec, found.gpus),
            dataset_id=store.rows_key(found.spec),
            figures=to_json(_measure(found, models.find_facts(session, found.spec.model))),
        )


def _is_plausible(summary: Summary) -> bool:
    """Return whether the summary contains all necessary numbers and they are plausible. A worker may have sent anything."""
    counts = (summary.steps, summary.train_rows, summary.all_parameters)
    rates = (summary.tokens_per_second, summary.samples_per_second)
    times = summary.phases.values()
    return (
        all(1 <= count < MOST_COUNT for count in counts)
        and all(rate is not None and 1e-6 < rate < MOST_COUNT for rate in rates)
        and all(0 <= seconds < MOST_COUNT for seconds in times)
        and 0 <= summary.eval_rows < MOST_COUNT
        and 0 <= summary.dropped_rows < MOST_COUNT
        and 0 <= (summary.supervised_tokens or 0) < MOST_COUNT**2
        and 0 <= (summary.peak_memory_bytes or 0) < MOST_COUNT**2
    )


def _actual(found: Finished) -> Actual:
    device, summary = found.worker.device, found.summary
    planned = None
    for each in found.forecast.workers if found.forecast else ():
        is_same = each.kind == device.kind and each.device == device.name
        if each.worker == found.worker.worker_id or (is_same and planned is None):
            planned = each
    return Actual(
        worker=found.worker.worker_id,
        device=device.name,
        peak_memory_bytes=summary.peak_memory_bytes,
        seconds=sum(summary.phases.values()) or summary.duration_seconds,
        tokens=int(found.tokens),
        tokens_per_row=found.tokens_per_row,
        supervised_share=found.supervised_share,
        predicted_memory_bytes=planned.peak_memory_bytes.value if planned else None,
        predicted_seconds=planned.seconds.value if planned else None,
    )


def _measure(found: Finished, facts: ModelFacts | None) -> Measured:
    summary, phases = found.summary, found.summary.phases
    setup = _setup(summary, found.worker.device.kind)
    computation = _computation(found, facts)
    peak_ratio, work = None, Work(0.0, 0.0)
    if computation.need is not None:
        setup = setup._replace(tokens=computation.need.filled(setup.tokens))
        if summary.peak_memory_bytes:
            peak_ratio = summary.peak_memory_bytes / computation.need.peak_bytes(setup)
        work = work_of(computation, setup, found.gpus, training_tokens=found.tokens)
    rows = summary.given_rows
    return Measured(
        width=setup.width,
        peak_ratio=peak_ratio,
        train_seconds_per_teraflop=_divide(phases.get(Phase.TRAINING), work.training),
        evaluate_seconds_per_teraflop=_divide(phases.get(Phase.EVALUATING), work.evaluation),
        loading_seconds=phases.get(Phase.LOADING),
        tokenizing_seconds_per_row=_divide(phases.get(Phase.TOKENIZING), rows),
        saving_seconds=_divide(phases.get(Phase.SAVING), saves_of(found.spec, summary.steps)),
        max_length=found.spec.training.max_length,
        tokens_per_row=found.tokens_per_row,
        supervised_share=found.supervised_share,
    )


def _divide(seconds: float | None, amount: float) -> float | None:
    return seconds / amount if seconds and amount else None


def _computation(found: Finished, facts: ModelFacts | None) -> Computation:
    """Return what the job has computed. The row lengths are those that the next forecast for such a job will assume."""
    spec, summary = found.spec, found.summary
    measured = RowTokens(spec.training.max_length, found.tokens_per_row, found.supervised_share)
    load = forecast_tokens(spec, found.sample, measured, None).load
    sizes = None if facts is None else facts.sizes
    evaluations = 1 + count_evaluations_after(0, summary.steps, spec.evaluation.every_steps)
    return Computation(
        spec=spec,
        need=None if facts is None or sizes is None else MemoryNeed(spec, facts, sizes, load),
        load=load,
        per_row=found.tokens_per_row,
        evaluated_rows=evaluations * summary.eval_rows,
    )


def _setup(summary: Summary, kind: str) -> Setup:
    """Return how the job was computed, from the choices in its summary. A worker may have sent anything."""
    dtype = str(_choice(summary.choices, "compute_dtype"))
    budget = _choice(summary.choices, "token_budget")
    usual = 2 if kind == "cuda" else 4
    return Setup(
        kind,
        _WIDTHS.get(dtype, usual),
        _choice(summary.choices, "activation_checkpointing") is True,
        _choice(summary.choices, "dequantize_base") is True,
        budget if isinstance(budget, int) and 0 < budget < 2**40 else 512,
    )


def _choice(choices: Mapping[str, Any], name: str) -> object:
    entry = choices.get(name)
    return entry.get("value") if isinstance(entry, Mapping) else None
