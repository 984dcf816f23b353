"""Tries the fullest micro-batch before training, so that a lack of memory shows up early."""

from worker.training.data.batches import pack
from worker.training.learning.loss import sum_nll
from worker.training.memory.recovery import within_memory
from worker.training.state import Run


def try_largest_batch(run: Run) -> None:
    """Compute the fullest micro-batch once. If memory runs out, reduce the budget."""
    if not run.model.device.is_cuda:
        return
    samples = sorted(run.data.train, key=len, reverse=True)[: run.spec.effective_batch_size]
    samples = [samples[row] for row in run.group.share(samples)]
    if not samples:
        return
    run.remember_generators()

    def compute(token_budget: int) -> None:
        run.model.peft_model.train()
        batch = pack(samples, token_budget, together=run.model.packs)[0]
        sum_nll(run.model, batch.to(run.model.device.torch_device)).backward()  # type: ignore[no-untyped-call]  # untyped in torch
        run.optimizer.zero_grad(set_to_none=False)  # keep the allocated memory

    within_memory(run, samples, compute)
    run.rewind_generators()
