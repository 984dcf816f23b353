"""One run over one run directory: load the spec, wire the parts, train, save, and write the outcome last."""

import errno
import os
import shutil
import traceback
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from contracts.attempt import Outcome
from contracts.failure import Failure, FailureReason
from contracts.job import JobSpec, Phase
from contracts.run_dir import Placed, RunDir, write_model
from worker.training import data as rows
from worker.training.batches import Windows
from worker.training.budget import TokenBudget, choose_token_budget
from worker.training.device import Device, check_four_bit, choose_device
from worker.training.errors import DETAIL_CHARACTERS, StopRequested, TrainingError
from worker.training.loop import Progress, Run, count_steps, measure, train
from worker.training.model import DOUBLE_QUANT_FROM, TrainableModel, load_model, load_tokenizer
from worker.training.model_files import check_model_files
from worker.training.optim import build_optimizer
from worker.training.recorder import Recorder
from worker.training.stop import Stop
from worker.training.summary import summarize
from worker.training.template import Template


def run_to_outcome(run_dir: RunDir, stop: Stop, visible_gpus: str | None = None) -> Outcome:
    """Run the whole program; whatever happens, return how it ended. The outcome is written by then."""
    progress = Progress()
    with Recorder(run_dir.records) as recorder:
        outcome = _outcome(run_dir, visible_gpus, progress, recorder, stop)
    write_model(run_dir.outcome, outcome)
    return outcome


def _outcome(
    run_dir: RunDir, visible_gpus: str | None, progress: Progress, recorder: Recorder, stop: Stop
) -> Outcome:
    try:
        _run(run_dir, visible_gpus, progress, recorder, stop)
    except StopRequested as request:
        return Outcome(status=request.status, step=progress.step)
    except Exception as error:  # noqa: BLE001 - the outer door: every error becomes an outcome
        traceback.print_exc()
        return Outcome(status="failed", failure=failure_of(error), step=progress.step)
    return Outcome(status="succeeded", step=progress.step)


def failure_of(error: Exception) -> Failure:
    """Return the typed failure that an exception of any kind stands for."""
    if isinstance(error, TrainingError):
        return error.failure
    reason = FailureReason.CRASHED
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError):
        reason = FailureReason.OOM_GPU
    elif isinstance(error, MemoryError) or "DefaultCPUAllocator" in text:
        reason = FailureReason.OOM_HOST
    elif _says_disk_full(error):
        reason = FailureReason.DISK_FULL
    told = "".join(traceback.format_exception(error))
    return Failure(reason=reason, detail=told[-DETAIL_CHARACTERS:])


def _says_disk_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT}
    # safetensors and torch wrap the error of the system in one of their own.
    return os.strerror(errno.ENOSPC) in str(error)


def _run(
    run_dir: RunDir, visible_gpus: str | None, progress: Progress, recorder: Recorder, stop: Stop
) -> None:
    spec, placed = _read_spec(run_dir), _read_placed(run_dir)

    recorder.phase(Phase.LOADING)
    config = check_model_files(run_dir.model)
    device = choose_device(spec.quantization.compute_dtype, visible_gpus)
    check_four_bit(device)
    tokenizer = load_tokenizer(run_dir.model)
    stop.check()

    recorder.phase(Phase.TOKENIZING)
    template = Template(tokenizer)
    data = rows.prepare(run_dir, spec, tokenizer, template)
    stop.check()

    recorder.phase(Phase.LOADING)
    model = load_model(run_dir.model, config, spec, device)
    budget = choose_token_budget(spec.engine.token_budget, model)
    windows = Windows(data.train, spec.effective_batch_size, spec.training.seed)
    stop.check()

    run = Run(
        spec=spec,
        data=data,
        model=model,
        optimizer=build_optimizer(model.adapter_parameters, spec.training, device.torch_device),
        windows=windows,
        total_steps=count_steps(spec, windows.per_epoch),
        token_budget=budget.tokens,
        recorder=recorder,
        stop=stop,
        progress=progress,
    )
    choices = _choices(spec, device, model, template, budget)
    _announce(run, choices)
    progress.base_evaluation = measure(run)
    train(run)
    final = measure(run)

    recorder.phase(Phase.SAVING, progress.step, run.total_steps)
    save_adapter(model, tokenizer, run_dir.adapter)
    recorder.close_phase()
    write_model(run_dir.summary, summarize(run, placed, final, choices))


def save_adapter(model: TrainableModel, tokenizer: Any, directory: Path) -> None:
    """Write the adapter as peft does, with the model's own tokenizer; aside first, so that it is whole or absent."""
    aside = directory.with_name(directory.name + ".tmp")
    shutil.rmtree(aside, ignore_errors=True)
    model.peft_model.save_pretrained(aside, save_embedding_layers=False)
    tokenizer.save_pretrained(aside)
    for path in (*aside.iterdir(), aside):
        _fsync(path)
    aside.replace(directory)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_spec(run_dir: RunDir) -> JobSpec:
    try:
        return JobSpec.model_validate_json(run_dir.spec.read_bytes())
    except FileNotFoundError as error:
        raise TrainingError(FailureReason.SPEC_REFUSED, "there is no spec.json") from error
    except ValidationError as error:
        raise TrainingError(FailureReason.SPEC_REFUSED, f"spec.json: {error}") from error


def _read_placed(run_dir: RunDir) -> Placed:
    try:
        return Placed.model_validate_json(run_dir.placed.read_bytes())
    except FileNotFoundError:
        return Placed()


def _choices(
    spec: JobSpec, device: Device, model: TrainableModel, template: Template, budget: TokenBudget
) -> dict[str, Any]:
    double_reason = "asked for by quantization.double_quant"
    if spec.quantization.double_quant == "auto":
        double_reason = f"by the model's size: on from {DOUBLE_QUANT_FROM:,} parameters"
    return {
        "compute_dtype": _choice(
            str(device.compute_dtype).removeprefix("torch."), device.compute_reason
        ),
        "double_quant": _choice(model.double_quant, double_reason),
        "token_budget": _choice(budget.tokens, budget.reason),
        "packing": _choice(
            model.packs,
            "packed samples stay apart in this architecture"
            if model.packs
            else "this architecture mixes packed samples: one sample a micro-batch",
        ),
        "chunked_head": _choice(
            model.plain_head,
            "logits are head × hidden state: no tensor of all logits is made"
            if model.plain_head
            else "the model caps or scales its logits: they are computed by its own forward",
        ),
        "chat_template": _choice(template.kind, template.reason),
        "cpu_threads": _choice(torch.get_num_threads(), "torch's own"),
    }


def _choice(value: str | float | bool, reason: str) -> dict[str, Any]:
    return {"value": value, "reason": reason}


def _announce(run: Run, choices: dict[str, Any]) -> None:
    data, model = run.data, run.model
    run.recorder.log(
        f"{len(data.train)} training and {len(data.evaluation)} evaluation rows "
        f"({data.truncated_rows} cut, {data.dropped_rows} dropped); {run.total_steps} steps on {model.device.name}; "
        f"{model.trainable_parameters:,} of {model.all_parameters:,} parameters are trained, "
        f"{model.quantized_layers} layers are held in 4 bits",
        choices=choices,
    )
    if data.overlapping_rows:
        run.recorder.log(
            f"{data.overlapping_rows} evaluation rows also stand in the training rows",
            level="warning",
        )
