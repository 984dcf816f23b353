"""Recovers from running out of memory: restarts the work with smaller micro-batches. The effective batch never changes."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from worker.training.compute.cuda_errors import may_be_out_of_memory
from worker.training.data.arrays import Sample
from worker.training.state import Run

T = TypeVar("T")


def within_memory(run: Run, samples: Sequence[Sample], work: Callable[[int], T]) -> T:
    """Return `work(token_budget)`; each time the GPU runs out of memory, halve the budget and retry.

    Once a micro-batch holds no more than the longest sample, recompute activations instead of keeping them, if the spec
    leaves that choice to the engine. If memory still runs out, raise the error.
    """
    longest = max((len(sample) for sample in samples), default=0)
    while True:
        try:
            return work(run.token_budget)
        except RuntimeError as error:
            if not (may_be_out_of_memory(error) and _reduce_memory(run, longest)):
                raise
        # Free the memory only here: until now, the exception and its frames held references to the tensors.
        if run.model.device.is_cuda:
            torch.cuda.empty_cache()
        run.rewind_generators()


def _reduce_memory(run: Run, longest: int) -> bool:
    step = run.progress.step + 1
    if run.token_budget > longest:
        before, run.token_budget = run.token_budget, max(longest, run.token_budget // 2)
        run.recorder.log(
            f"out of memory with {before} tokens per micro-batch; retrying step {step} with {run.token_budget}",
            level="warning",
            step=step,
        )
        return True
    if run.spec.engine.activation_checkpointing == "auto" and not run.checkpointing_activations:
        run.checkpoint_activations()
        run.recorder.log(
            "out of memory even though no micro-batch exceeds the longest sample; from now on, activations are recomputed, "
            "which is slower but uses less memory",
            level="warning",
            step=step,
        )
        return True
    return False
