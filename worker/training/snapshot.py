"""Saves a run as a snapshot and restores it: adapter, optimizer, generators, progress, and the sums from which all means are computed.

The learning rate needs no state: it is a function of the step. After the adapter is created, a run does not use
Python's or NumPy's global random generators, so only torch's generators are saved.
"""

import hashlib
import os

import numpy as np
import torch
from torch import Tensor, nn

from contracts.checkpoint import ADAPTER_PREFIX
from contracts.failure import FailureReason
from worker.training.compute.device import library_versions
from worker.training.data.batches import PACKING_VERSION
from worker.training.errors import TrainingError
from worker.training.learning.evaluate import Evaluation
from worker.training.learning.optim import restore_moments
from worker.training.model.lora.adapter import describe_adapter
from worker.training.rundir.checkpoint import CheckpointState, Snapshot
from worker.training.state import BestAdapter, Run

_DEVICE = ("device", "processor", "device_memory_gib")
"""Conditions that identify the device."""


def take(run: Run) -> Snapshot:
    """Return the state of the run after its last optimizer step, without an unfinished update."""
    progress = run.progress
    tensors: dict[str, Tensor] = {
        f"{ADAPTER_PREFIX}{name}": value for name, value in run.adapter().items()
    }
    for number, values in run.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{key}": value for key, value in values.items()}
    tensors |= {f"generator.{name}": state for name, state in run.generators.items()}
    tensors["step_nll"] = torch.tensor(progress.step_nll, dtype=torch.float64)
    tensors["step_tokens"] = torch.tensor(progress.step_tokens, dtype=torch.int64)
    if progress.base_evaluation is not None:
        tensors["base.row_nll"] = torch.from_numpy(progress.base_evaluation.row_nll)
        tensors["base.row_tokens"] = torch.from_numpy(progress.base_evaluation.row_tokens)
    if progress.best is not None:
        tensors |= {f"best.{name}": value for name, value in progress.best.weights.items()}
    state = CheckpointState(
        step=progress.step,
        identity=identity(run),
        circumstances=circumstances(run),
        token_budget=run.token_budget,
        activation_checkpointing=run.checkpointing_activations,
        tokens=progress.tokens,
        best_step=None if progress.best is None else progress.best.step,
        training_seconds=progress.training_seconds,
        phase_seconds=run.phase_seconds(),
        evaluations=progress.evaluations,
        base_correct_tokens=None
        if progress.base_evaluation is None
        else progress.base_evaluation.correct_tokens,
        adapter_config=describe_adapter(run.model.peft_model),
    )
    # Copy the tensors, because the run may continue while they are written.
    return Snapshot(state, {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()})


def restore(run: Run, snapshot: Snapshot) -> list[str]:
    """Restore the run from a snapshot.

    Return the conditions that have changed, which may cause rounding differences.
    """
    _check_identity(identity(run), snapshot.state.identity)
    changed = _adopt_circumstances(run, snapshot.state)
    state, tensors, progress = snapshot.state, snapshot.tensors, run.progress
    put_adapter(run, _part(tensors, ADAPTER_PREFIX))
    restore_moments(run.optimizer, _part(tensors, "optimizer."))
    progress.step = state.step
    progress.step_nll = tensors["step_nll"].tolist()
    progress.step_tokens = tensors["step_tokens"].tolist()
    progress.tokens = state.tokens
    progress.training_seconds = state.training_seconds
    progress.evaluations = list(state.evaluations)
    progress.earlier_phase_seconds = dict(state.phase_seconds)
    if "base.row_nll" in tensors:
        progress.base_evaluation = Evaluation(
            tensors["base.row_nll"].numpy().astype(np.float64),
            tensors["base.row_tokens"].numpy().astype(np.int64),
            seconds=0.0,
            correct_tokens=state.base_correct_tokens,
        )
    if state.best_step is not None:
        loss = next(point.loss for point in state.evaluations if point.step == state.best_step)
        # Copy the tensors, because they are mapped from a file that will be pruned.
        best = {name: value.clone() for name, value in _part(tensors, "best.").items()}
        progress.best = BestAdapter(state.best_step, loss, best)
    run.generators = _part(tensors, "generator.")
    run.rewind_generators()  # last, because building the model and its adapter used the generators
    return changed


def put_adapter(run: Run, weights: dict[str, Tensor]) -> None:
    """Set the adapter's weights, by name."""
    with torch.no_grad():
        for name, parameter in run.adapter().items():
            parameter.copy_(weights[name])


def identity(run: Run) -> dict[str, str]:
    """Return the values that identify the run, by name. They are the same for all its attempts."""
    spec = run.spec
    return {
        "model": spec.model,
        "model_revision": str(spec.model_revision),
        "base": run.base_digest,
        "rows": run.data.digest,
        "training": spec.training.model_dump_json(exclude={"early_stopping"}),
        "lora": spec.lora.model_dump_json(),
        "quantization": spec.quantization.model_dump_json(),
        "total_steps": str(run.total_steps),
        "adapter": _shape_digest(run.model.adapter_parameters),
    }


def checksum(run: Run) -> int:
    """Return a number with which ranks verify that they train the same run from the same step."""
    model = run.model
    proven = (
        model.attention,
        model.packs,
        model.plain_head,
        model.copies is not None,
        str(model.device.compute_dtype),
    )
    values = [*sorted(identity(run).items()), run.progress.step, proven]
    return int.from_bytes(hashlib.sha256(repr(values).encode()).digest()[:8], "big")


def circumstances(run: Run) -> dict[str, str | int]:
    """Return the conditions, other than the run itself, on which bit-identical results depend."""
    device, versions = run.model.device, library_versions()
    return {
        "packing_version": PACKING_VERSION,
        "ranks": run.group.count,
        "cpu_threads": torch.get_num_threads(),
        "device": device.torch_device.type,
        "compute_dtype": str(device.compute_dtype),
        "processor": device.processor,
        "device_memory_gib": device.memory_gib,
        "attention": run.model.attention,
        "dequantized_base": run.model.dequantized,
        "fused_optimizer": bool(run.optimizer.defaults["fused"]),
        "fused_lora": run.model.copies is not None,
        **{
            f"{name} version": versions[name]
            for name in ("torch", "bitsandbytes", "transformers", "peft")
        },
    }


def _check_identity(own: dict[str, str], theirs: dict[str, str]) -> None:
    # Ignore values that an earlier version did not save.
    different = [name for name, value in own.items() if theirs.get(name, value) != value]
    if not different:
        return
    detail = f"the checkpoint belongs to a different run ({', '.join(different)} differ). Submit a new job"
    if different == ["base"]:
        detail = (
            "the checkpoint belongs to a different base model: the weights or the config.json in the model directory have "
            "changed since this job started. Restore them and retry the job, or submit a new one"
        )
    raise TrainingError(
        FailureReason.SPEC_REFUSED, detail, evidence={"different": ", ".join(different)}
    )


def _adopt_circumstances(run: Run, state: CheckpointState) -> list[str]:
    """Adopt the earlier attempt's choices if it ran on the same device; choices for another device may not be suitable."""
    # Earlier versions did not have the fused function.
    own, theirs = circumstances(run), {"fused_lora": False} | state.circumstances
    threads = theirs.get("cpu_threads")
    is_alike = theirs.get("ranks", 1) == run.group.count
    if is_alike and all(theirs.get(name, own[name]) == own[name] for name in _DEVICE):
        # The same processor may have less memory than in the previous attempt.
        run.token_budget = min(state.token_budget, run.most_tokens or state.token_budget)
        # Recomputing activations does not change the result, so this attempt's plan decides, unless it does not cover
        # this budget.
        needed = run.needs_recomputation(run.token_budget) is not False
        if needed and state.activation_checkpointing and not run.checkpointing_activations:
            run.checkpoint_activations()
        if isinstance(threads, int) and threads <= len(os.sched_getaffinity(0)):
            torch.set_num_threads(threads)
    own = circumstances(run) | {"token_budget": run.token_budget}
    return [
        f"{name}: {before} → {own.get(name)}"
        for name, before in {**theirs, "token_budget": state.token_budget}.items()
        if own.get(name) != before
    ]


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): value for n, value in tensors.items() if n.startswith(prefix)}


def _shape_digest(parameters: list[nn.Parameter]) -> str:
    shapes = ";".join(str(tuple(parameter.shape)) for parameter in parameters)
    return hashlib.sha256(shapes.encode()).hexdigest()
