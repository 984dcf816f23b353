"""The training loop. `train` shows all steps in order."""

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from contracts.job import JobSpec, Phase
from contracts.summary import EvalPoint
from worker.training import snapshot
from worker.training.data.arrays import Sample
from worker.training.data.batches import pack, supervised_tokens
from worker.training.learning.early_stopping import is_stale
from worker.training.learning.evaluate import Evaluation, evaluate
from worker.training.learning.loss import sum_score
from worker.training.learning.optim import learning_rate, set_learning_rate
from worker.training.memory.recovery import within_memory
from worker.training.state import BestAdapter, Run


def count_steps(spec: JobSpec, steps_per_epoch: int) -> int:
    """Return the number of optimizer steps of the whole run."""
    return spec.training.max_steps or spec.training.epochs * steps_per_epoch


def train(run: Run) -> None:
    """Train from the run's current step to the last one. Raises only StopRequested and TrainingError."""
    parameters, progress, training = run.model.adapter_parameters, run.progress, run.spec.training
    run.remember_generators()
    _evaluate_if_due(run)  # before training, or if an earlier attempt ended before its evaluation
    while progress.step < run.total_steps and not is_stale(
        progress.evaluations, training.early_stopping
    ):
        run.recorder.phase(Phase.TRAINING, progress.step, run.total_steps)
        started = time.monotonic()
        step = progress.step + 1
        run.seed_step(step)

        window = run.windows.window(step)  # fetch
        sums, tokens = _accumulate(run, window)  # forward, backward
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        torch.nn.utils.clip_grads_with_norm_(parameters, training.max_grad_norm, norm)  # clip
        rate = learning_rate(training, step, run.total_steps)
        set_learning_rate(run.optimizer, rate)
        run.optimizer.step()  # step
        run.remember_generators()
        # The only wait for a GPU. It comes last because the duration must include all work of the update.
        nll, correct, grad_norm = torch.cat([sums, norm.double()[None]]).tolist()
        seconds = time.monotonic() - started
        run.watchdog.check_gradient(step, nll / tokens, grad_norm)  # check
        run.watchdog.check_adapter(step)

        progress.step = step
        progress.step_nll.append(nll)
        progress.step_tokens.append(tokens)
        progress.tokens += sum(len(sample) for sample in window)
        progress.training_seconds += seconds
        run.recorder.metric(  # record
            step,
            {
                "loss": nll / tokens,
                "token_accuracy": correct / tokens,
                "learning_rate": rate,
                "grad_norm": grad_norm,
                "epoch": run.windows.epochs_done(step),
                "tokens": tokens,
                "seconds": seconds,
            },
        )
        _evaluate_if_due(run)  # evaluate
        if step % run.spec.checkpoint.every_steps == 0 and step < run.total_steps:
            save_checkpoint(run)  # save


def measure(run: Run) -> Evaluation:
    """Evaluate the current adapter and record the result; reuse the recorded result if the adapter has not changed since."""
    progress = run.progress
    if progress.latest is not None and progress.is_evaluated():
        return progress.latest
    run.recorder.phase(Phase.EVALUATING, progress.step, run.total_steps)
    result = score(run)
    if not progress.is_evaluated():  # otherwise an earlier attempt has recorded it
        run.recorder.evaluation(
            progress.step, result.loss, result.tokens, result.seconds, result.token_accuracy
        )
        progress.evaluations.append(
            EvalPoint(step=progress.step, loss=result.loss, token_accuracy=result.token_accuracy)
        )
    progress.latest = result
    if progress.step == 0:
        progress.base_evaluation = result
    if run.spec.training.early_stopping is not None:
        _keep_if_best(run, result.loss)
    return result


def score(run: Run) -> Evaluation:
    """Evaluate without recording."""
    samples, step, group = run.data.evaluation, run.progress.step, run.group
    group.check_equal("adapter weights", run.adapter_checksum, step)
    tokens = sum(len(sample) for sample in samples)

    def work(budget: int) -> Evaluation:
        with run.counter.counting(Phase.EVALUATING, len(samples), tokens) as count:
            return evaluate(
                run.model, samples, budget, step=step, group=group, between=run.between, count=count
            )

    return within_memory(run, [samples[row] for row in group.share(samples)], work)


def save_checkpoint(run: Run) -> None:
    """Save a checkpoint of the last complete step, unless no step is complete or the checkpoint is already saved."""
    step = run.progress.step
    if step == run.last_saved_step or not run.group.is_main:
        return
    run.recorder.phase(Phase.SAVING, step, run.total_steps)
    saved = run.checkpoints.save(snapshot.take(run))
    run.last_saved_step = step
    run.recorder.checkpoint(step, saved.path.name, saved.bytes)


def _evaluate_if_due(run: Run) -> None:
    progress = run.progress
    due = progress.step % run.spec.evaluation.every_steps == 0 and progress.step < run.total_steps
    if due and not progress.is_evaluated():
        measure(run)


def _accumulate(run: Run, window: Sequence[Sample]) -> tuple[Tensor, int]:
    """Compute the gradient of the window's mean loss; return sums over the window, and its number of supervised tokens.

    The sums [2] in float64 are the NLL and the number of tokens that the model predicts correctly.

    The loss is summed over the supervised tokens of all ranks and divided once, so neither packing nor the number of
    ranks changes the result. The division is in the adapter's float32, because in bfloat16 a factor that is not a power
    of two would round all gradients in the same direction.
    """
    tokens = supervised_tokens(window)
    share = [window[row] for row in run.group.share(window)]
    device = run.model.device

    def gradients(token_budget: int) -> Tensor:
        run.model.train()
        run.optimizer.zero_grad(set_to_none=False)  # keep the allocated memory
        total = torch.zeros(2, dtype=torch.float64, device=device.torch_device)
        for batch in pack(share, token_budget, together=run.model.packs):
            run.between()
            score = sum_score(run.model, batch.moved(device.upload))
            score.nll.backward()  # type: ignore[no-untyped-call]  # untyped in torch
            total += torch.stack([score.nll.detach().double(), score.correct.double()])
        return total

    sums = within_memory(run, share, gradients)
    summed = [p.grad for p in run.model.adapter_parameters if p.grad is not None]
    run.group.sum_update(summed, sums, tokens)
    torch._foreach_div_(
        summed, float(tokens)
    )  # torch's own optimizers use it; it has no public name
    return sums, tokens


def _keep_if_best(run: Run, loss: float) -> None:
    best = run.progress.best
    if best is None or loss < best.loss:
        weights = {name: p.detach().cpu().clone() for name, p in run.adapter().items()}
        run.progress.best = BestAdapter(run.progress.step, loss, weights)
