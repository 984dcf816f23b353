"""Executes one run: loads the spec, assembles the parts, trains, saves, and writes the outcome last."""

import contextlib
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError

from contracts.attempt import Outcome
from contracts.failure import Failure
from contracts.job import Phase
from contracts.run.exits import name_rank
from contracts.run.run_dir import Placed, RunDir, count_ranks, write_model
from worker.training import snapshot
from worker.training.compute.compiler import check_compiler
from worker.training.compute.device import (
    check_four_bit,
    choose_device,
    divide_threads,
    peak_memory_bytes,
)
from worker.training.data.batches import Windows
from worker.training.data.bounds import Bounds
from worker.training.data.cache.cache import Cache
from worker.training.data.cache.key import read_state
from worker.training.data.facts import data_warnings
from worker.training.data.mixing import describe_mixture
from worker.training.data.preparation import prepare
from worker.training.data.rendering.template import Template
from worker.training.errors import StopRequested, TrainingError
from worker.training.failures import failure_of, is_own
from worker.training.learning.evaluate import Evaluation
from worker.training.learning.optim import build_optimizer, choose_fused
from worker.training.learning.watchdog import Watchdog
from worker.training.loop import count_steps, measure, save_checkpoint, score, train
from worker.training.memory.heap import returning_freed_memory
from worker.training.memory.helpers import plan_helpers
from worker.training.memory.plan import MemoryPlan, Planner
from worker.training.memory.rehearsal import try_largest_batch
from worker.training.model.files import check_model_files, digest_base
from worker.training.model.length import check_length
from worker.training.model.load import load_model
from worker.training.model.lora.adapter import save_adapter
from worker.training.model.tokenizer import check_vocabulary, load_tokenizer
from worker.training.model.trainable import TrainableModel
from worker.training.ranks.group import Group
from worker.training.ranks.others import Others, job_dir, open_signs
from worker.training.report.choices import explain_choices
from worker.training.report.summary import PeakMemory, summarize
from worker.training.rundir import checkpoint
from worker.training.rundir.checkpoint import Checkpoints
from worker.training.rundir.counter import RowCounter
from worker.training.rundir.inputs import read_placed, read_spec
from worker.training.rundir.outcome import reserve_room, write_outcome
from worker.training.rundir.recorder import Recorder
from worker.training.rundir.stop import Stop
from worker.training.state import Progress, Run

RANK_SPOOL_BYTES = 2**20
"""Maximum size of the records of a rank above 0, which are used only for debugging."""


@dataclass(frozen=True)
class Place:
    """Where this process runs: its GPUs, and its place among the ranks of the job."""

    visible_gpus: str | None = None
    """The program's CUDA_VISIBLE_DEVICES."""
    rank: int = 0
    others: Others = field(default_factory=Others)
    """On rank 0, the other ranks."""
    start_error: OSError | None = None
    """Why the other ranks could not be started."""

    def check(self) -> None:
        """Raise OSError if the other ranks could not be started."""
        if self.start_error is not None:
            raise self.start_error


def run_to_outcome(run_dir: RunDir, stop: Stop, place: Place | None = None) -> Outcome:
    """Run the whole program, write the outcome and return it, even if an error occurs."""
    place, progress = place or Place(), Progress()
    place.others.watch(_exit_handler(run_dir, progress))
    try:
        reserve_room(run_dir)
        placed = read_placed(run_dir)
        place.check()
        spool_bytes = RANK_SPOOL_BYTES if place.rank else placed.spool_bytes
        with (
            Recorder(run_dir.records, spool_bytes, rank=place.rank) as recorder,
            contextlib.ExitStack() as ending,
        ):
            _run(run_dir, placed, stop, recorder, progress=progress, place=place, ending=ending)
        outcome = Outcome(status="succeeded", step=progress.step)
    except StopRequested as request:
        outcome = Outcome(status=request.status, step=progress.step)
    except Exception as error:  # noqa: BLE001 - outermost handler: every error becomes an outcome
        with contextlib.suppress(OSError):  # the output file may be on the full disk
            traceback.print_exc()
        failure = failure_of(error)
        if count_ranks(run_dir) > 1 and place.rank == 0 and is_own(failure):
            failure = name_rank(failure, 0)  # rank 0 adds the numbers of the others
        outcome = Outcome(status="failed", failure=failure, step=progress.step)
    write_outcome(run_dir, outcome)
    return outcome


def _run(
    run_dir: RunDir,
    placed: Placed,
    stop: Stop,
    recorder: Recorder,
    *,
    progress: Progress,
    place: Place,
    ending: contextlib.ExitStack,
) -> None:
    spec = read_spec(run_dir)

    recorder.phase(Phase.LOADING)
    check_model_files(run_dir.model, placed.model_roots)
    check_length(run_dir.model, spec)
    device = choose_device(spec.quantization.compute_dtype, place.visible_gpus, place.rank)
    divide_threads(device, placed.ranks)
    check_compiler(spec, device)
    check_four_bit(device)
    loaded_from = read_state(run_dir.model)
    tokenizer = load_tokenizer(run_dir.model)
    stop.check()

    recorder.phase(Phase.TOKENIZING)
    template = Template(tokenizer, placed.submitted_at)
    counter = RowCounter(run_dir.progress)
    bounds = Bounds(stop.check)
    data = prepare(
        run_dir,
        spec,
        tokenizer,
        template,
        counter=counter,
        bounds=bounds,
        cache=Cache.of(placed),
        helpers=plan_helpers(run_dir, spec, placed),
        loaded_from=loaded_from,
    )
    stop.check()

    recorder.phase(Phase.LOADING)
    planner = Planner(run_dir.model, spec, device, data.train, placed.ranks)
    plan = planner.plan()
    with returning_freed_memory(device):
        model = load_model(run_dir.model, spec, device, dequantizes=plan.dequantizes)
    check_vocabulary(model, data.largest_token)
    fused, fused_reason = choose_fused(spec.engine.fused_optimizer, device.torch_device)
    optimizer = build_optimizer(model.adapter_parameters, spec.training, fused=fused)
    watchdog, group = _join(run_dir, placed, place, model, progress=progress, ending=ending)
    plan = planner.adjust(plan, model)
    budget = plan.token_budget(spec, model)
    windows = Windows(data.train, spec.effective_batch_size, spec.training.seed)
    run = Run(
        spec=spec,
        data=data,
        model=model,
        base_digest=digest_base(run_dir.model),
        optimizer=optimizer,
        optimizer_reason=fused_reason,
        windows=windows,
        total_steps=count_steps(spec, windows.per_epoch),
        token_budget=budget.tokens,
        checkpoints=Checkpoints(run_dir.checkpoints, spec.checkpoint.keep),
        recorder=recorder,
        stop=stop,
        watchdog=watchdog,
        progress=progress,
        counter=counter,
        group=group,
        # A GPU recovers from a budget that is too large; a host does not.
        most_tokens=None if device.is_cuda else plan.most_tokens,
        needs_recomputation=plan.needs_recomputation,
    )
    if plan.recomputes or spec.engine.activation_checkpointing is True:
        run.checkpoint_activations()
    try_largest_batch(run, plan)
    _resume(run, run_dir.resume, placed)
    group.check_equal("data, models or checkpoints", lambda: snapshot.checksum(run), progress.step)
    group.copy_from_main(model.adapter_parameters)
    if group.is_main:
        _announce(run, plan)
    stop.check()

    final = _train(run)
    peak = int(group.largest(peak_memory_bytes(device)))
    place.others.close()
    ending.close()
    if not group.is_main:
        return

    recorder.phase(Phase.SAVING, progress.step, run.total_steps)
    save_adapter(model.peft_model, tokenizer, run_dir.adapter)
    choices = explain_choices(run, template, budget, plan)
    predicted = plan.predicted_bytes(run.token_budget, recomputes=run.checkpointing_activations)
    memory = PeakMemory(predicted, peak)
    write_model(run_dir.summary, summarize(run, placed, final, choices, memory))


def _join(
    run_dir: RunDir,
    placed: Placed,
    place: Place,
    model: TrainableModel,
    *,
    progress: Progress,
    ending: contextlib.ExitStack,
) -> tuple[Watchdog, Group]:
    """Start the watchdog, which then also detects a rank that hangs before training, and wait for the other ranks."""
    job = job_dir(run_dir, place.rank)
    signs = open_signs(job, place.rank, placed.ranks)
    watchdog = Watchdog(model.adapter_parameters, signs, place.others)
    if place.rank == 0:
        watching = watchdog.watch(_exit_handler(run_dir, progress), placed.hang_seconds)
        ending.callback(watching.set)
    group = Group(place.rank, placed.ranks, signs, place.others)
    group.connect(job, model.device.torch_device)
    group.warm_up(model.adapter_parameters)  # before the free memory is measured
    return watchdog, group


def _train(run: Run) -> Evaluation:
    """Train, set the model's adapter to the one that will be saved, and return its evaluation."""
    run.watchdog.remember_adapter()
    try:
        train(run)
        final = measure(run)
        best = run.progress.best
        if best is not None and best.loss < final.loss:
            save_checkpoint(run)  # before the best adapter replaces the last step's
            snapshot.put_adapter(run, best.weights)
            run.recorder.log(
                f"keeping the adapter of step {best.step}: it has the lowest eval loss"
            )
            final = score(run)
    except StopRequested as request:
        run.group.others.close()  # saving may take a long time
        _save_before_stopping(run, request)
        raise
    return final


def _save_before_stopping(run: Run, request: StopRequested) -> None:
    if request.status == "cancelled":
        return
    try:
        save_checkpoint(run)
    except (TrainingError, OSError, SafetensorError) as error:
        if request.status == "paused":  # a paused job needs its checkpoint to resume
            raise
        run.recorder.log(f"could not save a checkpoint before stopping: {error}", "error")


def _resume(run: Run, directory: Path, placed: Placed) -> None:
    if not directory.exists():
        return
    newest = checkpoint.find_newest(directory)
    if newest is None:
        run.recorder.log("no intact checkpoint to resume from: starting from step 0", "warning")
        return
    changed = snapshot.restore(run, checkpoint.load(newest))
    run.last_saved_step = run.progress.step
    run.recorder.resumed_from, run.recorder.resumed_step = placed.resumed_from, run.progress.step
    run.recorder.log(
        f"resumed from the checkpoint of step {run.progress.step}", step=run.progress.step
    )
    if changed:
        run.recorder.log(
            "this attempt runs under different conditions than the previous one, so results may differ by rounding errors: "
            f"{'; '.join(changed)}",
            "warning",
        )


def _exit_handler(run_dir: RunDir, progress: Progress) -> Callable[[Failure], None]:
    def end(failure: Failure) -> None:
        # The main thread hangs or waits for another rank, so the stack cannot unwind: write the reason and exit.
        with contextlib.suppress(OSError):
            print(failure.detail, flush=True)
        stamped = failure.model_copy(update={"step": progress.step + 1})
        try:
            if not run_dir.outcome.exists():  # unless the main thread has
                outcome = Outcome(status="failed", failure=stamped, step=progress.step)
                write_outcome(run_dir, outcome)
        finally:  # the disk may be the cause of the hang
            os._exit(0)

    return end


def _announce(run: Run, plan: MemoryPlan) -> None:
    data, model = run.data, run.model
    run.recorder.log(
        f"{len(data.train)} training and {len(data.evaluation)} evaluation rows "
        f"({data.truncated_rows} of them truncated, {data.dropped_rows} more dropped), {data.source}; {run.total_steps} steps on {run.devices_name}; "
        f"{model.trainable_parameters:,} of {model.all_parameters:,} parameters are trainable, "
        f"{model.quantized_layers} layers are stored in 4 bits, {run.token_budget} tokens per micro-batch"
    )
    for each in describe_mixture(data.parts, run.spec):
        run.recorder.log(
            f"{each.dataset}: weight {each.weight:g}, {each.used_rows} rows per epoch from {each.rows} rows"
        )
    if plan.choice is not None and plan.choice.is_scarce:
        run.recorder.log(f"memory is scarce: {plan.choice.reason}", "warning")
    if plan.failed:
        run.recorder.log(f"no memory plan: {plan.reason}", "warning")
    for warning in data_warnings(data.facts, data.unwritten):
        run.recorder.log(warning, "warning")
