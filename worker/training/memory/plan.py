"""Plans a run's memory before the weights load: traces the step, and chooses token budget and activation checkpointing.

Nothing here changes the effective batch. Without a trace, the token budget comes from config.json alone (budget.py).
"""

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from contracts.job import JobSpec
from worker.training.compute.device import Device
from worker.training.data.samples import Sample
from worker.training.errors import TrainingError
from worker.training.memory.budget import TokenBudget, choose_token_budget
from worker.training.memory.demand import Demand, Shape
from worker.training.memory.fake_model import Traits
from worker.training.memory.fit import (
    Choice,
    choose_for_cpu,
    choose_for_gpu,
    raised_tokens,
)
from worker.training.memory.host import (
    free_gpu_bytes,
    free_host_bytes,
    loading_bytes,
    mapped_bytes,
    resident_bytes,
    total_host_bytes,
)
from worker.training.memory.trace import Trace
from worker.training.model.files import count_parameters
from worker.training.model.trainable import TrainableModel

_SMALL_MODEL = 100_000_000
"""On a CPU, models with fewer parameters are not traced: a trace takes seconds, and they need little memory."""
_SHORT_SAMPLE = 4096
"""In tokens. With longer samples, even a small model can need much memory."""

_WORTHWHILE = 1.1
"""A budget is raised only by more than this factor, because each try costs a step."""


@dataclass(frozen=True)
class MemoryPlan:
    """What the trace found, and what was chosen from it."""

    reason: str
    """How the plan was made, or why there is none."""
    seconds: float = 0.0
    """How long it took."""
    demand: Demand | None = None
    choice: Choice | None = None
    traits: Traits | None = None

    @property
    def recomputes(self) -> bool:
        """Whether activations are to be recomputed from the start."""
        return self.choice is not None and self.choice.recomputes

    @property
    def most_tokens(self) -> int | None:
        """The largest token budget that fits, if it is less than usual."""
        return self.choice.tokens if self.choice is not None and self.choice.is_reduced else None

    def predicted_bytes(self, token_budget: int, *, recomputes: bool) -> int | None:
        """Return the predicted `peak_memory_bytes` of the run; None if nothing suitable was traced."""
        if self.demand is None:
            return None
        return self.demand.peak_bytes(token_budget, recomputes=recomputes)

    def raised_tokens(self, spec: JobSpec, measured_step: int) -> int | None:
        """Return a larger budget if the probe's step took less than predicted, in bytes above the resident ones."""
        if self.demand is None or self.choice is None or spec.engine.token_budget != "auto":
            return None
        tokens = raised_tokens(self.demand, self.choice, measured_step)
        return tokens if tokens > self.choice.tokens * _WORTHWHILE else None

    def token_budget(self, spec: JobSpec, model: TrainableModel) -> TokenBudget:
        """Return the planned budget, or the estimated one if there is no plan."""
        if self.choice is None:
            return choose_token_budget(spec.engine.token_budget, model)
        return TokenBudget(self.choice.tokens, self.choice.reason)


class Planner:
    """Plans one run: before its model is loaded, and again afterwards if something turned out differently."""

    def __init__(
        self,
        directory: Path,
        spec: JobSpec,
        device: Device,
        samples: Sequence[Sample],
        ranks: int = 1,
    ) -> None:
        self._directory, self._spec, self._device = directory, spec, device
        self._shape = Shape.of(samples, spec.effective_batch_size)
        self._ranks = ranks

    def plan(self) -> MemoryPlan:
        """Return the plan for a model that is not loaded yet.

        Raises SPEC_REFUSED, with figures, if not even the longest sample fits.
        """
        if self._is_small():
            return MemoryPlan(
                f"not traced: on a CPU, a model with fewer than {_SMALL_MODEL:,} parameters needs little memory"
            )
        return self._trace(None, None)

    def adjust(self, plan: MemoryPlan, model: TrainableModel) -> MemoryPlan:
        """Return the plan for the loaded model: for the memory that is free now, and for the traits that were found."""
        demand, traits = plan.demand, Traits.of(model)
        if demand is None:
            return plan
        if traits != plan.traits:
            plan = self._trace(traits, plan)
        elif self._device.is_cuda:
            started = time.monotonic()
            choice = self._choose(demand, loaded=True)
            plan = replace(plan, choice=choice, seconds=plan.seconds + time.monotonic() - started)
        if plan.demand is not None:
            plan.demand.release()
        return plan

    def _is_small(self) -> bool:
        return (
            not self._device.is_cuda
            and self._shape.longest <= _SHORT_SAMPLE
            and count_parameters(self._directory) < _SMALL_MODEL
        )

    def _trace(self, traits: Traits | None, earlier: MemoryPlan | None) -> MemoryPlan:
        started = time.monotonic()
        try:
            with _quiet():
                traits, demand = self._demand(traits)
                if earlier is not None and earlier.demand is not None:
                    demand.program_bytes = earlier.demand.program_bytes  # without the model
                    demand.mapped_bytes = earlier.demand.mapped_bytes
                    demand.loading_bytes = earlier.demand.loading_bytes
                choice = self._choose(demand, loaded=earlier is not None)
        except TrainingError:
            raise
        except Exception as error:  # noqa: BLE001 - an architecture may do anything that fake tensors do not support
            seconds = time.monotonic() - started
            first_line = str(error).strip().partition("\n")[0][:200]
            return MemoryPlan(
                f"the step could not be traced ({type(error).__name__}: {first_line}), so the memory was only estimated",
                seconds,
            )
        seconds = time.monotonic() - started + (earlier.seconds if earlier is not None else 0.0)
        return MemoryPlan(
            f"the step was run on fake tensors before the weights were loaded, in {seconds:.1f} s",
            seconds,
            demand,
            choice,
            traits,
        )

    def _demand(self, known: Traits | None) -> tuple[Traits, Demand]:
        """Return the demand for the known traits, or for the expected ones."""
        traits = known or Traits.expected(self._directory, self._spec, self._device)
        arguments = (self._directory, self._spec, self._device, self._shape)
        try:
            return traits, trace_demand(*arguments, traits)
        except ValueError as error:
            if known is not None or "attn_implementation" not in str(error):
                raise
        traits = replace(traits, attention="eager")  # the architecture does not support SDPA
        return traits, trace_demand(*arguments, traits)

    def _choose(self, demand: Demand, *, loaded: bool) -> Choice:
        if self._device.is_cuda:
            free, total = free_gpu_bytes(self._device.torch_device)
            return choose_for_gpu(demand, self._spec, free, total=total, loaded=loaded)
        free, total = free_host_bytes() // self._ranks, total_host_bytes() // self._ranks
        return choose_for_cpu(demand, self._spec, free, total, loaded=loaded)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch from logging errors of fake operations: the plan's reason gives them."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def trace_demand(
    directory: Path, spec: JobSpec, device: Device, shape: Shape, traits: Traits
) -> Demand:
    """Return the demand of the step that this job will run."""
    first = Trace(directory, spec, device, traits)
    program = loading = mapped = 0
    if not device.is_cuda:
        dtype, program = device.compute_dtype, resident_bytes()
        loading = program + loading_bytes(directory, dtype)
        mapped = mapped_bytes(directory, dtype, first.kept_bytes)
        program += mapped

    def recomputing() -> Trace:
        trace = Trace(directory, spec, device, traits)
        trace.model.checkpoint_activations()
        return trace

    return Demand(
        shape,
        first,
        recomputing,
        program_bytes=program,
        mapped_bytes=mapped,
        loading_bytes=loading,
    )


def predict_bytes(
    directory: Path,
    spec: JobSpec,
    device: Device,
    samples: Sequence[Sample],
    *,
    recomputes: bool = False,
) -> tuple[int, int, int]:
    """Return the bytes of the whole run, of its resident model, and of the step with one micro-batch of these samples."""
    shape = Shape.of(samples, len(samples))
    traits = Traits.expected(directory, spec, device)
    demand = trace_demand(directory, spec, device, shape, traits)
    step = demand.step_bytes(shape.window, recomputes=recomputes)
    return demand.whole_bytes(step), demand.resident_bytes, step
