"""Out of memory: work is begun again whole with smaller micro-batches. The effective batch never changes."""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from worker.training.data.samples import Sample
from worker.training.state import Run

T = TypeVar("T")
_TOLD = re.compile(r"(CUDA|Triton)\b.*\bout of memory|_STATUS_ALLOC_FAILED")
"""How CUDA's runtime, Triton, cuBLAS and cuDNN say it, which take memory past torch's allocator."""


def is_out_of_memory(error: Exception) -> bool:
    """Return whether the GPU's memory ran out, whichever library was the one to notice."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _TOLD.search(str(error)) is not None


def within_memory(run: Run, samples: Sequence[Sample], work: Callable[[int], T]) -> T:
    """Return `work(token_budget)`, with a halved budget for as long as the GPU's memory runs out.

    Once a micro-batch holds no more than the longest sample, activations are recomputed instead of kept, if the spec
    leaves that to the engine; then the error is the answer.
    """
    longest = max(len(sample) for sample in samples)
    while True:
        try:
            return work(run.token_budget)
        except RuntimeError as error:
            if not (is_out_of_memory(error) and _give_way(run, longest)):
                raise
        # Only here, with the exception and its frames gone, can the memory that they held be given back.
        if run.model.device.is_cuda:
            torch.cuda.empty_cache()
        run.rewind_generators()


def _give_way(run: Run, longest: int) -> bool:
    step = run.progress.step + 1
    if run.token_budget > longest:
        before, run.token_budget = run.token_budget, max(longest, run.token_budget // 2)
        run.recorder.log(
            f"out of memory with {before} tokens a micro-batch: from here on {run.token_budget}; step {step} starts again",
            level="warning",
            step=step,
        )
        return True
    if run.spec.engine.activation_checkpointing == "auto" and not run.checkpointing_activations:
        run.checkpointing_activations = True
        run.model.checkpoint_activations()
        run.recorder.log(
            "out of memory with single samples: activations are recomputed from here on, slower but smaller",
            level="warning",
            step=step,
        )
        return True
    return False
