"""Tries the fullest micro-batch before training, to detect a lack of memory early and to verify the prediction."""

import torch

from worker.training.data.batches import pack
from worker.training.data.samples import Sample
from worker.training.learning.loss import sum_nll
from worker.training.memory.plan import MemoryPlan
from worker.training.memory.recovery import within_memory
from worker.training.state import Run

_FULL = 0.95
"""Share of the budget from which a micro-batch counts as full."""


def try_largest_batch(run: Run, plan: MemoryPlan) -> None:
    """Compute the fullest micro-batch once. If memory runs out, reduce the budget; if much is left, raise it."""
    if not run.model.device.is_cuda:
        return
    samples = sorted(run.data.train, key=len, reverse=True)[: run.spec.effective_batch_size]
    samples = [samples[row] for row in run.group.share(samples)]
    if not samples:
        return
    run.remember_generators()
    before = run.token_budget
    measured, tokens = _try(run, samples)
    # A micro-batch that does not fill the budget says nothing about larger ones.
    if run.token_budget == before and tokens >= _FULL * before:
        raise_budget(run, plan, samples, measured)
    run.rewind_generators()


def raise_budget(run: Run, plan: MemoryPlan, samples: list[Sample], measured: int) -> None:
    """Raise the budget if the probe's `measured` bytes leave enough room; keep the old one if the larger one fails."""
    before, tokens = run.token_budget, plan.raised_tokens(run.spec, measured)
    if tokens is None:
        return
    run.recorder.log(
        f"the fullest micro-batch took {measured / 2**30:.2f} GiB, less than planned: trying {tokens} instead of "
        f"{before} tokens per micro-batch"
    )
    run.token_budget = tokens
    _try(run, samples)
    if run.token_budget < tokens:
        run.token_budget = before


def _try(run: Run, samples: list[Sample]) -> tuple[int, int]:
    """Compute the fullest micro-batch; return how many additional bytes it took, and its number of tokens."""
    device = run.model.device.torch_device

    def compute(token_budget: int) -> tuple[int, int]:
        run.model.train()
        in_use = _start_measuring(device)
        batch = pack(samples, token_budget, together=run.model.packs)[0]
        sum_nll(run.model, batch.moved(run.model.device.upload)).backward()  # type: ignore[no-untyped-call]  # untyped in torch
        run.optimizer.zero_grad(set_to_none=False)  # keep the allocated memory
        peak = torch.cuda.max_memory_allocated(device) - in_use if device.type == "cuda" else 0
        return peak, batch.tokens

    return within_memory(run, samples, compute)


def _start_measuring(device: torch.device) -> int:
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)
