"""Forecasts a job: tokens, memory and time on each live worker, disk space, and warnings.

Quantities that cannot be predicted are null, with a reason.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.plans import store
from app.plans.corrections import Measured, Result, device_key, exact, unknown
from app.plans.devices import Computation, Run, forecast_worker, least_bytes, saves_of
from app.plans.memory import MemoryNeed, Setup, usable_bytes
from app.plans.rows.packing import Packing, pack_rows
from app.plans.rows.sample import RowSample
from app.plans.rows.tokens import RowTokens, Tokens, forecast_tokens
from app.plans.rows.truncation import find_cuts
from app.plans.schemas import DiskForecast, Forecast, Note, Quantity, WorkerForecast
from contracts.attempt import WorkerInfo
from contracts.job import JobSpec
from contracts.model_facts import ModelFacts
from contracts.run.plan import EvaluationCost, evaluation_cost, training_row_passes

MOST_WORKERS = 20
"""Maximum number of online workers in a forecast, and of offline ones."""
_CHECKPOINT_BYTES = 12
"""Bytes per weight of the adapter: the weight and its two moments, each in float32."""
_EXPENSIVE = 0.4
"""A plan contains a warning if evaluation rows are more than this share of all processed rows."""


@dataclass(frozen=True)
class Counts:
    """The rows and steps of a job, as far as the server knows them."""

    train_rows: int | None
    eval_rows: int | None
    steps: int | None
    evaluation: EvaluationCost | None
    sample: RowSample | None
    """None for a dataset on the hub."""
    is_text: bool = False
    """Whether documents are joined and split into samples of equal length."""


class Least(NamedTuple):
    """The minimum memory of a device; None if unknown. Smaller devices do not get the job."""

    cpu_bytes: int | None
    gpu_bytes: int | None

    def fits(self, worker: WorkerInfo) -> bool:
        """Return whether the worker's device may be large enough. It may be if either figure is unknown."""
        least = self.gpu_bytes if worker.device.kind == "cuda" else self.cpu_bytes
        known = worker.device.memory_bytes
        return least is None or known == 0 or least <= known

    def reason(self, workers: Sequence[WorkerInfo]) -> Note:
        """Return why the job fits none of these workers; there must be at least one."""
        largest = max(workers, key=lambda worker: worker.device.memory_bytes)
        needed = self.gpu_bytes if largest.device.kind == "cuda" else self.cpu_bytes
        return _too_small(needed, largest.device.memory_bytes)


def _too_small(needed_bytes: int | None, largest_bytes: int | None) -> Note:
    values = {"needed_bytes": needed_bytes or 0, "largest_bytes": largest_bytes or 0}
    return Note(code="too_little_memory", values=values)


NO_LIMIT = Least(None, None)


def forecast_job(
    session: Session,
    spec: JobSpec,
    counts: Counts,
    facts: ModelFacts | None,
    *,
    workers: Sequence[WorkerInfo],
    offline: Sequence[WorkerInfo] = (),
    gpus_on: Callable[[WorkerInfo], int],
) -> tuple[Forecast, Least]:
    """Return the forecast, and the minimum memory for the job.

    `facts`: those of the job's model; None if unknown. `workers`: the live workers that could run the job. `offline`: others that could if they were online. `gpus_on`: how many GPUs the job would use on the host of a worker.
    """
    packing = _pack(spec, counts)
    if packing is not None:
        counts = replace(
            counts, evaluation=evaluation_cost(spec, packing.train, packing.evaluation)
        )
    passes = _row_passes(spec, counts, packing)
    # What a finished job has measured of documents are their samples, not the rows.
    earlier = None if counts.is_text else _earlier_on_rows(session, spec)
    tokens = forecast_tokens(spec, counts.sample, earlier, passes)
    need, reason = _need(spec, facts, tokens)
    evaluation = counts.evaluation
    evaluated = evaluation.row_passes if evaluation else 0
    per_sample = tokens.per_row
    if packing is not None and per_sample is not None:
        per_sample /= packing.per_row
    computation = Computation(spec, need, tokens.load, per_sample, evaluated)
    steps = _steps(counts, packing)
    run = Run(
        tokens,
        packing.train + packing.evaluation
        if packing is not None
        else (counts.train_rows or 0) + (counts.eval_rows or 0),
        saves_of(spec, round(steps.value or 0)),
    )
    find_results = functools.cache(functools.partial(_results, session, spec.model))

    def on(worker: WorkerInfo) -> tuple[WorkerForecast, Setup | None]:
        gpus = gpus_on(worker)
        results = find_results(device_key(worker.device, gpus))
        return forecast_worker(computation, run, (worker, gpus), results, reason)

    devices = sorted(map(on, workers), key=lambda placed: _rank(placed[0]))
    shown = [device for device, _ in devices]
    least = NO_LIMIT
    if need is not None:
        least = Least(least_bytes(spec, need, "cpu"), least_bytes(spec, need, "cuda"))
    fits, why = _fit(shown, reason)
    return (
        Forecast(
            steps=steps,
            tokens=tokens.forecast,
            workers=shown[:MOST_WORKERS],
            offline_workers=[on(worker)[0] for worker in offline[:MOST_WORKERS]],
            fits=fits,
            reason=why,
            seconds=shown[0].seconds if shown else unknown("no_worker"),
            disk=_disk(spec, need, reason),
            warnings=_warnings(spec, counts, facts, devices, need),
        ),
        least,
    )


def _pack(spec: JobSpec, counts: Counts) -> Packing | None:
    is_known = counts.sample is not None and counts.sample.is_text
    if not is_known or counts.sample is None or counts.train_rows is None:
        return None
    return pack_rows(spec, counts.sample, counts.train_rows, counts.eval_rows or 0)


def _steps(counts: Counts, packing: Packing | None) -> Quantity:
    if packing is not None:
        return packing.steps
    return unknown("steps_unknown") if counts.steps is None else exact(counts.steps)


def _row_passes(spec: JobSpec, counts: Counts, packing: Packing | None) -> float | None:
    """Return the rows in all steps; those of documents are not whole numbers."""
    if counts.train_rows is None:
        return None
    if packing is not None:
        steps = spec.total_steps(packing.train)
        return training_row_passes(spec, packing.train, steps) / packing.per_row
    if counts.steps is None:
        return None
    return training_row_passes(spec, counts.train_rows, counts.steps)


def _earlier_on_rows(session: Session, spec: JobSpec) -> RowTokens | None:
    """Return the tokens that a finished job measured on the same rows with the same model, preferably at the same `max_length`.

    Otherwise, return those measured at the largest `max_length`, which truncated the rows least.
    """
    key = store.rows_key(spec)
    if key is None:
        return None
    found = []
    for row in store.list_results_of_rows(session, spec.model, key):
        measured = Measured.model_validate(row.figures)
        found.append(
            RowTokens(measured.max_length, measured.tokens_per_row, measured.supervised_share)
        )
    same = [each for each in found if each.max_length == spec.training.max_length]
    return next(iter(same), max(found, key=lambda each: each.max_length, default=None))


def _results(session: Session, model: str, device: str) -> list[Result]:
    return [
        Result(row.settings, Measured.model_validate(row.figures))
        for row in store.list_results(session, model, device)
    ]


def _need(
    spec: JobSpec, facts: ModelFacts | None, tokens: Tokens
) -> tuple[MemoryNeed | None, Note]:
    if facts is None:
        return None, Note(code="model_unknown")
    if facts.sizes is None:
        return None, Note(code="sizes_unknown")
    return MemoryNeed(spec, facts, facts.sizes, tokens.load), Note(code="memory_unreported")


def _rank(device: WorkerForecast) -> tuple[bool, float]:
    seconds = device.seconds.value
    return device.fits is False, float("inf") if seconds is None else seconds


def _fit(devices: Sequence[WorkerForecast], reason: Note) -> tuple[bool | None, Note | None]:
    if not devices:
        return None, Note(code="no_worker")
    if any(device.fits for device in devices):
        return True, None
    if all(device.fits is False for device in devices):
        largest = max(devices, key=lambda device: device.memory_bytes or 0)
        return False, _too_small(largest.least_memory_bytes, largest.memory_bytes)
    return None, reason


def _disk(spec: JobSpec, need: MemoryNeed | None, reason: Note) -> DiskForecast:
    most = spec.checkpoint.keep + 1
    if need is None:
        return DiskForecast(
            checkpoint_bytes=Quantity(reason=reason),
            most_checkpoints=most,
            total_bytes=Quantity(reason=reason),
        )
    each = _CHECKPOINT_BYTES * need.adapter_parameters
    return DiskForecast(
        checkpoint_bytes=exact(each).model_copy(update={"basis": "formula", "high": 1.05 * each}),
        most_checkpoints=most,
        total_bytes=exact(most * each).model_copy(
            update={"basis": "formula", "high": 1.05 * most * each}
        ),
    )


def _warnings(
    spec: JobSpec,
    counts: Counts,
    facts: ModelFacts | None,
    devices: Sequence[tuple[WorkerForecast, Setup | None]],
    need: MemoryNeed | None,
) -> list[Note]:
    context = None if facts is None else facts.max_length
    found = find_cuts(counts.sample, spec.training.max_length, context)
    if counts.evaluation is not None and counts.evaluation.share > _EXPENSIVE:
        percent = round(100 * counts.evaluation.share)
        found.append(Note(code="evaluation_expensive", values={"percent": percent}))
    epochs, most_steps = spec.training.epochs, spec.training.max_steps
    if most_steps is not None and epochs > 1:
        values = {"epochs": epochs, "max_steps": most_steps}
        found.append(Note(code="epochs_ignored", values=values))
    every = spec.checkpoint.every_steps
    if counts.steps is not None and 100 < counts.steps <= every:
        values = {"steps": counts.steps, "every_steps": every}
        found.append(Note(code="no_checkpoint", values=values))
    return [*found, *_memory_warnings(spec, devices, need)]


def _memory_warnings(
    spec: JobSpec,
    devices: Sequence[tuple[WorkerForecast, Setup | None]],
    need: MemoryNeed | None,
) -> list[Note]:
    """Return warnings about the first device that may be too small for the settings, although the job can run on it."""
    budget = spec.engine.token_budget
    for device, setup in devices:
        memory = device.memory_bytes
        if not device.fits or memory is None or need is None or setup is None:
            continue
        found = []
        is_scarce = (device.peak_memory_bytes.high or 0) > memory
        if budget != "auto" and setup.tokens < need.filled(budget):
            values: dict[str, float | int | str] = {
                "worker": device.worker,
                "available_bytes": usable_bytes(setup.kind, memory),
                "token_budget": budget,
                "needed_bytes": need.peak_bytes(setup._replace(tokens=need.filled(budget))),
                "lowered": setup.tokens,
            }
            found.append(Note(code="budget_lowered", values=values))
            is_scarce = not need.has_room(setup, memory)
        if is_scarce:
            values = {"worker": device.worker, "available_bytes": memory}
            found.append(Note(code="memory_scarce", values=values))
        if found:
            return found
    return []
