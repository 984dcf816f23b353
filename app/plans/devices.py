"""Forecasts a job's memory and duration on one worker's device."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from app.plans.corrections import (
    Correction,
    Measured,
    Result,
    correct,
    correct_peak,
    scaled,
    settings_key,
    unknown,
)
from app.plans.memory import Load, MemoryNeed, Setup
from app.plans.rows.tokens import Tokens
from app.plans.schemas import Note, Quantity, WorkerForecast
from app.plans.work import evaluation_flops, training_flops
from contracts.attempt import WorkerInfo
from contracts.job import JobSpec

TERA = 1e12
_CAUTION = 0.8
"""A device does not get a job only if its memory is below this fraction of the formula's minimum for the best possible compute type."""
_FIT_CAUTION = 0.9
"""A job fits a device unless its memory is below this fraction of the minimum for the compute type that its last job used, or that may be used.
The formula is within 10 % of traces."""
_WIDTHS = {"cuda": 2, "cpu": 4}
"""Bytes per value of the compute type that `auto` usually chooses. A CPU with AMX computes in bfloat16."""
_NAMED_WIDTHS = {"bfloat16": 2, "float32": 4}
_SAMPLE_SPREAD = 0.2
"""Relative error of the duration if the tokens are only estimated from characters."""


class Computation(NamedTuple):
    """What a job computes, regardless of the device."""

    spec: JobSpec
    need: MemoryNeed | None
    """None if the model's dimensions are unknown."""
    load: Load
    per_row: float | None
    """Mean number of tokens per row."""
    evaluated_rows: int
    """Rows processed by all evaluations."""


class Run(NamedTuple):
    """The size of a planned job."""

    tokens: Tokens
    rows: int
    """Rows to tokenize."""
    saves: int


class Work(NamedTuple):
    """Floating-point operations of a job on one of its GPUs, in units of 10¹²."""

    training: float
    evaluation: float


def least_bytes(spec: JobSpec, need: MemoryNeed, kind: str) -> int:
    """Return the memory below which a device of this kind certainly cannot run the job."""
    return int(_CAUTION * _least_of(need, kind, _possible_widths(spec, kind)))


def _possible_widths(spec: JobSpec, kind: str) -> list[int]:
    """Return the bytes per value of the compute types that a device of this kind may use for the job."""
    named = spec.quantization.compute_dtype
    if named != "auto":
        return [_NAMED_WIDTHS[named]]
    return [2] if kind == "cuda" else [2, 4]


def _least_of(need: MemoryNeed, kind: str, widths: Sequence[int]) -> int:
    return min(need.least_bytes(kind, width) for width in widths)


def _forecast_least(need: MemoryNeed, kind: str, widths: Sequence[int], factor: Correction) -> int:
    """Return the memory below which a job does not fit a device that computes in one of these widths.

    Measured peaks can only lower it. So a job that has run in some memory still fits it: this is less than its measured peak.
    """
    lowered = 1.0 if factor.basis == "formula" else min(1.0, factor.low)
    return int(_FIT_CAUTION * lowered * _least_of(need, kind, widths))


def choose_width(spec: JobSpec, kind: str, results: Sequence[Result]) -> int:
    """Return the bytes per value of the compute type: as set, else as in the last job on such a device, else the usual one."""
    named = spec.quantization.compute_dtype
    if named != "auto":
        return _NAMED_WIDTHS[named]
    return results[0].measured.width if results else _WIDTHS[kind]


def forecast_worker(
    computation: Computation,
    run: Run,
    place: tuple[WorkerInfo, int],
    results: Sequence[Result],
    reason: Note,
) -> tuple[WorkerForecast, Setup | None]:
    """Return the forecast for a worker's device, and how the job would be computed there. `reason`: why the memory is unknown, if it is.

    `place`: the worker, and the number of GPUs that the job would use there.
    """
    (worker, gpus), spec, need = place, computation.spec, computation.need
    device, memory = worker.device, worker.device.memory_bytes or None
    settings = settings_key(spec, gpus)
    setup, peak, least = None, Quantity(reason=reason), None
    if need is not None:
        width = choose_width(spec, device.kind, results)
        setup = need.choose(device.kind, width, memory)
        factor = correct_peak(results, settings)
        peak = scaled(factor, need.peak_bytes(setup))
        widths = [width] if results else _possible_widths(spec, device.kind)
        least = _forecast_least(need, device.kind, widths, factor)
    per_row = computation.per_row
    forecast = WorkerForecast(
        worker=worker.worker_id,
        host=worker.host,
        device=device.name,
        kind=device.kind,
        memory_bytes=memory,
        peak_memory_bytes=peak,
        least_memory_bytes=least,
        fits=None if memory is None or least is None else least <= memory,
        activation_checkpointing=None if setup is None else setup.recomputes,
        micro_batch_tokens=None if setup is None else setup.tokens,
        micro_batch_rows=round(setup.tokens / per_row, 1) if setup and per_row else None,
        seconds=Quantity(reason=reason)
        if setup is None
        else _seconds(computation, run, (setup, gpus), results, settings),
    )
    return forecast, setup


def work_of(computation: Computation, setup: Setup, gpus: int, *, training_tokens: float) -> Work:
    """Return the operations of a job on each of its GPUs. The model's dimensions must be known."""
    need = computation.need
    if need is None:
        raise ValueError("the model's dimensions are unknown")
    per_row = computation.per_row or 0.0
    share = computation.load.supervised
    evaluated = computation.evaluated_rows * per_row
    training = training_flops(
        need.sizes,
        need.adapter_parameters,
        tokens=training_tokens,
        supervised=training_tokens * share,
        row_tokens=per_row,
        recomputes=setup.recomputes,
    )
    evaluation = evaluation_flops(
        need.sizes,
        need.adapter_parameters,
        tokens=evaluated,
        supervised=evaluated * share,
        row_tokens=per_row,
    )
    return Work(training / TERA / gpus, evaluation / TERA / gpus)


def saves_of(spec: JobSpec, steps: int) -> int:
    """Return the number of saves in a run: one per checkpoint, and one for the adapter at the end."""
    return steps // spec.checkpoint.every_steps + 1


def _seconds(
    computation: Computation,
    run: Run,
    place: tuple[Setup, int],
    results: Sequence[Result],
    settings: str,
) -> Quantity:
    """Return the duration of all phases. Its range reflects the uncertainty of the training speed and the tokens."""
    tokens = run.tokens
    if tokens.training is None or tokens.per_row is None:
        return Quantity(reason=tokens.forecast.training.reason)
    speed = correct(results, settings, lambda measured: measured.train_seconds_per_teraflop)
    if speed is None:
        return unknown("not_measured")
    work = work_of(computation, *place, training_tokens=tokens.training)

    def middle(read: Callable[[Measured], float | None]) -> float:
        found = correct(results, settings, read)
        return 0.0 if found is None else found.value

    value = (
        work.training * speed.value
        + work.evaluation * middle(lambda measured: measured.evaluate_seconds_per_teraflop)
        + middle(lambda measured: measured.loading_seconds)
        + middle(lambda measured: measured.tokenizing_seconds_per_row) * run.rows
        + middle(lambda measured: measured.saving_seconds) * run.saves
    )
    spread = _SAMPLE_SPREAD if tokens.forecast.per_row.basis == "sample" else 0.0
    return Quantity(
        value=value,
        low=value * (speed.low / speed.value - spread),
        high=value * (speed.high / speed.value + spread),
        basis=speed.basis,
    )
