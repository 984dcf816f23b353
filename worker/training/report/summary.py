"""Builds the Summary of a finished run from its parts."""

import math
from dataclasses import dataclass
from typing import Any

from contracts.base import utc_now
from contracts.run.run_dir import Placed
from contracts.summary import Summary, WindowLoss, window_steps
from contracts.verdicts.course import recent_steps
from worker.training.compute.device import library_versions
from worker.training.data.mixing import describe_mixture
from worker.training.learning.evaluate import Evaluation, improvement_interval
from worker.training.report.flops import training_flops, utilisation
from worker.training.state import Progress, Run


@dataclass(frozen=True)
class PeakMemory:
    """The peak of the run's memory in bytes."""

    predicted_bytes: int | None
    measured_bytes: int
    """The highest peak of all ranks."""


def summarize(
    run: Run, placed: Placed, final: Evaluation, choices: dict[str, Any], memory: PeakMemory
) -> Summary:
    """Return the report of the run. Call it after the final evaluation."""
    spec, data, model, progress = run.spec, run.data, run.model, run.progress
    base = progress.base_evaluation
    return Summary(
        model=spec.model,
        model_revision=placed.model_revision,
        finished_at=utc_now(),
        duration_seconds=_duration_seconds(run),
        steps=progress.step,
        train_loss=_train_loss(progress, 0, progress.step),
        first_step_loss=_train_loss(progress, 0, 1),
        recent_train_loss=_train_loss(
            progress,
            -recent_steps(window_steps(run.total_steps), spec.effective_batch_size),
            progress.step,
        ),
        eval_loss=final.loss,
        base_eval_loss=None if base is None else base.loss,
        eval_token_accuracy=final.token_accuracy,
        base_eval_token_accuracy=None if base is None else base.token_accuracy,
        improvement_interval=None
        if base is None
        else improvement_interval(base, final, spec.training.seed),
        windows=window_losses(progress, run.total_steps),
        evaluations=progress.evaluations,
        lora_rank=spec.lora.rank,
        lora_alpha=spec.lora.alpha,
        per_device_batch_size=spec.training.per_device_batch_size,
        gradient_accumulation_steps=spec.training.gradient_accumulation_steps,
        learning_rate=spec.training.learning_rate,
        lr_scheduler=spec.training.lr_scheduler,
        train_rows=len(data.train),
        eval_rows=len(data.evaluation),
        trainable_parameters=model.trainable_parameters,
        all_parameters=model.all_parameters,
        truncated_rows=data.truncated_rows,
        dropped_rows=data.dropped_rows,
        overlapping_rows=data.facts.overlapping_rows,
        data=data.facts,
        mixture=describe_mixture(data.parts, spec),
        supervised_tokens=sum(progress.step_tokens),
        tokens_per_second=progress.tokens / progress.training_seconds,
        samples_per_second=_samples(run) / progress.training_seconds,
        padding_share=0.0,  # packed samples need no padding
        flops_utilisation=utilisation(
            model,
            training_flops(model, progress.tokens, sum(progress.step_tokens)),
            progress.training_seconds * run.group.count,
        ),
        peak_memory_bytes=memory.measured_bytes,
        predicted_memory_bytes=memory.predicted_bytes,
        device=run.devices_name,
        phases=run.phase_seconds(),
        quantized_layers=model.quantized_layers,
        choices=choices,
        versions=library_versions(),
        seed=spec.training.seed,
    )


def window_losses(progress: Progress, total_steps: int) -> list[WindowLoss]:
    """Return the token-weighted mean loss of each whole window of steps."""
    width = window_steps(total_steps)
    return [
        WindowLoss(
            step=end,
            loss=_train_loss(progress, end - width, end),
        )
        for end in range(width, progress.step + 1, width)
    ]


def _train_loss(progress: Progress, first: int, end: int) -> float:
    """Return the token-weighted mean of a slice of the step losses."""
    return math.fsum(progress.step_nll[first:end]) / sum(progress.step_tokens[first:end])


def _samples(run: Run) -> float:
    return run.windows.epochs_done(run.progress.step) * len(run.data.train)


def _duration_seconds(run: Run) -> float:
    seconds = run.phase_seconds()
    return sum(seconds.get(phase, 0.0) for phase in ("training", "evaluating", "saving"))
