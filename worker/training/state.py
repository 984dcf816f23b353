"""Run: all parts of one run. Progress: its steps and results so far. Checkpoints save the state in this module."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from contracts.job import JobSpec
from contracts.summary import EvalPoint
from worker.training.data.batches import Windows
from worker.training.data.prepared import Data
from worker.training.learning.evaluate import Evaluation
from worker.training.learning.watchdog import Watchdog
from worker.training.model.trainable import TrainableModel
from worker.training.ranks.group import ALONE, Group
from worker.training.rundir.checkpoint import Checkpoints
from worker.training.rundir.counter import RowCounter
from worker.training.rundir.recorder import Recorder
from worker.training.rundir.stop import Stop


@dataclass(frozen=True)
class BestAdapter:
    """The adapter with the lowest evaluation loss so far; kept for early stopping."""

    step: int
    loss: float
    weights: dict[str, Tensor]


@dataclass
class Progress:
    """The progress of a run over all its attempts, and the sums from which all reported means are computed."""

    step: int = 0
    """Number of completed optimizer steps."""
    step_nll: list[float] = field(default_factory=list)
    """Summed NLL of each step's window, in nats."""
    step_tokens: list[int] = field(default_factory=list)
    """Number of supervised tokens in each step's window."""
    tokens: int = 0
    """Number of tokens trained on, including prompts."""
    training_seconds: float = 0.0
    """Time spent in steps, without evaluations and checkpoints."""
    evaluations: list[EvalPoint] = field(default_factory=list)
    base_evaluation: Evaluation | None = None
    latest: Evaluation | None = None
    """The newest evaluation. It belongs to the current step if the last entry of `evaluations` does."""
    best: BestAdapter | None = None
    earlier_phase_seconds: dict[str, float] = field(default_factory=dict)
    """Seconds that earlier attempts spent in each phase, up to the checkpoint."""

    def is_evaluated(self) -> bool:
        """Return whether the current adapter has been evaluated."""
        return bool(self.evaluations) and self.evaluations[-1].step == self.step


@dataclass
class Run:
    """All parts of one run."""

    spec: JobSpec
    data: Data
    model: TrainableModel
    base_digest: str
    """Identifies the base model across attempts (see model/files.py)."""
    optimizer: torch.optim.Optimizer
    windows: Windows
    total_steps: int
    token_budget: int
    checkpoints: Checkpoints
    recorder: Recorder
    stop: Stop
    watchdog: Watchdog
    progress: Progress
    counter: RowCounter = field(default_factory=RowCounter)
    group: Group = ALONE
    optimizer_reason: str = ""
    """Why a fused kernel does or does not update the adapter."""
    most_tokens: int | None = None
    """The largest token budget that fits into the memory of a host, if that is less than usual."""
    needs_recomputation: Callable[[int], bool | None] = lambda _: None
    """Returns whether a token budget fits only with recomputed activations, according to this attempt's plan; None if unknown."""
    checkpointing_activations: bool = False
    generators: dict[str, Tensor] = field(default_factory=dict)
    """States of torch's random generators after the last optimizer step."""
    last_saved_step: int = 0

    def between(self) -> None:
        """Record that the run has made progress. Call this between micro-batches; raises StopRequested if a stop is requested."""
        self.watchdog.beat()
        self.stop.check()

    def checkpoint_activations(self) -> None:
        """Recompute activations from now on."""
        self.checkpointing_activations = True
        self.model.checkpoint_activations()

    def remember_generators(self) -> None:
        """Save the generators' states. Call this between two steps."""
        self.generators = {"cpu": torch.get_rng_state()}
        if self.model.device.is_cuda:
            self.generators["cuda"] = torch.cuda.get_rng_state(self.model.device.torch_device)

    def seed_step(self, step: int) -> None:
        """Seed the generators for a step if there are several ranks.

        Each rank then draws its own dropout masks, and a checkpoint does not need the other ranks' generators.
        """
        if self.group.count == 1:
            return
        text = f"{self.spec.training.seed}:{step}:{self.group.rank}"
        digest = hashlib.sha256(text.encode("ascii")).digest()
        torch.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        self.remember_generators()

    def rewind_generators(self) -> None:
        """Reset the generators to the last saved states."""
        torch.set_rng_state(self.generators["cpu"])
        if "cuda" in self.generators and self.model.device.is_cuda:
            torch.cuda.set_rng_state(self.generators["cuda"], self.model.device.torch_device)

    @property
    def devices_name(self) -> str:
        """Name of the device, with the number of devices if there are several."""
        name = self.model.device.name
        return name if self.group.count == 1 else f"{self.group.count} × {name}"

    def adapter(self) -> dict[str, torch.nn.Parameter]:
        """Return the adapter's weights by name."""
        return {n: p for n, p in self.model.peft_model.named_parameters() if p.requires_grad}

    def adapter_checksum(self) -> int:
        """Return a number that changes with any bit of the adapter's weights."""
        parts = [
            p.detach().view(torch.int32).sum(dtype=torch.int64)
            for p in self.model.adapter_parameters
        ]
        return int(torch.stack(parts).sum().item())

    def phase_seconds(self) -> dict[str, float]:
        """Return the seconds spent in each phase, over all attempts."""
        now, before = self.recorder.phase_seconds(), self.progress.earlier_phase_seconds
        return {name: now.get(name, 0.0) + before.get(name, 0.0) for name in {**before, **now}}
