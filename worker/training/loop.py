"""The training loop. `train` tells the whole story in order; what it calls next door is named after what it does."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from contracts.failure import FailureReason
from contracts.job import JobSpec, Phase
from contracts.summary import EvalPoint
from worker.training.batches import Windows, pack, supervised_tokens
from worker.training.data import Data, Sample
from worker.training.errors import TrainingError
from worker.training.evaluate import Evaluation, evaluate
from worker.training.loss import sum_nll
from worker.training.model import TrainableModel
from worker.training.optim import learning_rate, set_learning_rate
from worker.training.recorder import Recorder
from worker.training.stop import Stop


@dataclass
class Progress:
    """How far the run has come, and the sums behind every mean that it reports."""

    step: int = 0
    """Optimizer steps done."""
    step_nll: list[float] = field(default_factory=list)
    """Summed NLL of each step's window, in nats."""
    step_tokens: list[int] = field(default_factory=list)
    """Supervised tokens of each step's window."""
    tokens: int = 0
    """Tokens trained on, prompts included."""
    training_seconds: float = 0.0
    """Time spent in steps alone."""
    evaluations: list[EvalPoint] = field(default_factory=list)
    base_evaluation: Evaluation | None = None


@dataclass
class Run:
    """All parts of one run."""

    spec: JobSpec
    data: Data
    model: TrainableModel
    optimizer: torch.optim.Optimizer
    windows: Windows
    total_steps: int
    token_budget: int
    recorder: Recorder
    stop: Stop
    progress: Progress


def count_steps(spec: JobSpec, steps_per_epoch: int) -> int:
    """Return the optimizer steps of the whole run."""
    return spec.training.max_steps or spec.training.epochs * steps_per_epoch


def train(run: Run) -> None:
    """Train to the last step. Leaves only by finishing, by StopRequested or by TrainingError."""
    parameters, progress, training = run.model.adapter_parameters, run.progress, run.spec.training
    while progress.step < run.total_steps:
        run.recorder.phase(Phase.TRAINING, progress.step, run.total_steps)
        started = time.monotonic()
        step = progress.step + 1

        window = run.windows.window(step)  # fetch
        rate = learning_rate(training, step, run.total_steps)
        nll, tokens = _accumulate(run, window)  # forward, backward
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients).item()
        _check_finite(step, nll / tokens, norm)  # check
        torch.nn.utils.clip_grads_with_norm_(  # clip
            parameters, training.max_grad_norm, torch.tensor(norm)
        )
        set_learning_rate(run.optimizer, rate)
        run.optimizer.step()  # step

        seconds = time.monotonic() - started
        progress.step = step
        progress.step_nll.append(nll)
        progress.step_tokens.append(tokens)
        progress.tokens += sum(len(sample) for sample in window)
        progress.training_seconds += seconds
        run.recorder.metric(  # record
            step,
            {
                "loss": nll / tokens,
                "learning_rate": rate,
                "grad_norm": norm,
                "epoch": run.windows.epochs_done(step),
                "tokens": tokens,
                "seconds": seconds,
            },
        )
        if step % run.spec.evaluation.every_steps == 0 and step < run.total_steps:
            measure(run)  # evaluate


def measure(run: Run) -> Evaluation:
    """Evaluate the adapter as it stands, and record it."""
    step = run.progress.step
    run.recorder.phase(Phase.EVALUATING, step, run.total_steps)
    result = evaluate(
        run.model, run.data.evaluation, run.token_budget, step=step, between=run.stop.check
    )
    run.recorder.evaluation(step, result.loss, result.tokens, result.seconds)
    run.progress.evaluations.append(EvalPoint(step=step, loss=result.loss))
    return result


def _accumulate(run: Run, window: Sequence[Sample]) -> tuple[float, int]:
    """Leave the gradient of the window's mean loss in the parameters; return its summed NLL and its tokens.

    Summed over supervised tokens and divided once, so that the packing changes memory, not the result.
    """
    tokens = supervised_tokens(window)
    device = run.model.device.torch_device
    total = torch.zeros((), dtype=torch.float64, device=device)
    run.model.peft_model.train()
    run.optimizer.zero_grad(set_to_none=True)
    for batch in pack(window, run.token_budget, together=run.model.packs):
        run.stop.check()
        nll: Tensor = sum_nll(run.model, batch.to(device))
        (nll / tokens).backward()  # type: ignore[no-untyped-call]  # torch types it so
        total += nll.detach()
    return total.item(), tokens


def _check_finite(step: int, loss: float, norm: float) -> None:
    if math.isfinite(loss) and math.isfinite(norm):
        return
    raise TrainingError(
        FailureReason.LOSS_NOT_FINITE,
        f"step {step}: loss {loss}, gradient norm {norm}; the adapter was left as the step before made it",
        step=step,
        evidence={"loss": str(loss), "grad_norm": str(norm)},
    )
