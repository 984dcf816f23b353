"""Plans a run's memory before its weights are loaded: traces a step, sets token budget and activation checkpointing.

Nothing here changes the effective batch. Without a trace, the token budget comes from config.json alone (budget.py).
"""

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from contracts.job import JobSpec
from worker.training.compute.cuda_errors import is_device_failure, is_out_of_memory
from worker.training.compute.device import Device
from worker.training.data.arrays import Sample
from worker.training.memory.budget import TokenBudget, choose_token_budget
from worker.training.memory.demand import Demand, Shape
from worker.training.memory.fit import (
    Choice,
    choose_for_cpu,
    choose_for_gpu,
    keep_unpacked,
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
from worker.training.memory.tracing.fake_model import Traits
from worker.training.memory.tracing.trace import Trace
from worker.training.model.files import count_parameters
from worker.training.model.trainable import TrainableModel

_SMALL_MODEL = 100_000_000
"""On a CPU, models with fewer parameters are not traced: a trace takes seconds, and they need little memory."""
_SHORT_SAMPLE = 4096
"""In tokens. With longer samples, even a small model can need a lot of memory."""

_UNTRACEABLE = (
    RuntimeError,  # an operation without a fake kernel, or one that needs a value; includes NotImplementedError
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
    AssertionError,
    ImportError,
)
"""Exceptions that an architecture's code may raise on fake tensors. Any other exception, such as a lack of memory, is an
error."""

_OFF_ON_CPU = "off on a CPU, where the gain depends on its caches"

_WORTHWHILE = 1.1
"""A budget is raised only by more than this factor, because each try costs a step."""


@dataclass(frozen=True)
class MemoryPlan:
    """The results of the trace, and the choices based on them."""

    reason: str
    """How the plan was made, or why there is none."""
    seconds: float = 0.0
    """How long planning took."""
    demand: Demand | None = None
    choice: Choice | None = None
    traits: Traits | None = None
    dequantize_reason: str = "the memory was not planned"
    """Why `engine.dequantize_base` is on or off, if the spec leaves it to the engine."""

    failed: bool = False
    """Whether the step could not be traced."""
    kept_unpacked: bool = False
    """Whether the earlier plan, which determined how the model was loaded, had room to keep the base unpacked."""

    @property
    def dequantizes(self) -> bool:
        """Whether there is room to keep the base's layers in the compute type."""
        return self.kept_unpacked or (self.choice is not None and self.choice.dequantizes)

    @property
    def recomputes(self) -> bool:
        """Whether to recompute activations from the start."""
        return self.choice is not None and self.choice.recomputes

    @property
    def most_tokens(self) -> int | None:
        """The largest token budget that fits, if it is less than usual."""
        return self.choice.tokens if self.choice is not None and self.choice.is_reduced else None

    def predicted_bytes(self, token_budget: int, *, recomputes: bool) -> int | None:
        """Return the predicted `peak_memory_bytes` of the run; None if nothing suitable was traced."""
        if self.demand is None:
            return None
        peak = self.demand.peak_bytes(token_budget, recomputes=recomputes)
        return None if peak is None else peak + self.dequantizes * self.demand.unpacked_bytes

    def needs_recomputation(self, token_budget: int) -> bool | None:
        """Return whether a step under this budget fits only with recomputed activations; None if it is not known."""
        if self.choice is None or self.demand is None:
            return None
        if self.choice.recomputes or token_budget <= self.choice.tokens:
            return self.choice.recomputes
        step = self.demand.known_step_bytes(token_budget, recomputes=False)
        return None if step is None else step > self.choice.room

    def raised_tokens(self, spec: JobSpec, measured_step: int) -> int | None:
        """Return a larger budget if the probe's step took less than predicted, in bytes above the resident memory."""
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
    """Plans one run before its model is loaded, and again afterwards if the model has unexpected traits."""

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

        Raises SPEC_REFUSED, stating the sizes, if the longest sample does not fit.
        """
        if self._is_small():
            return MemoryPlan(
                f"not traced: on a CPU, a model with fewer than {_SMALL_MODEL:,} parameters needs little memory",
                dequantize_reason=_OFF_ON_CPU,
            )
        return self._trace(None, None)

    def adjust(self, plan: MemoryPlan, model: TrainableModel) -> MemoryPlan:
        """Return the plan for the loaded model, based on its actual traits and the memory that is free now."""
        traits = Traits.of(model)
        if plan.demand is None or plan.choice is None:
            return plan
        if self._device.is_cuda or traits != plan.traits:
            plan = self._trace(traits, plan)
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
        """Trace what has not been traced yet, then choose."""
        started = time.monotonic()
        before = 0.0 if earlier is None else earlier.seconds
        memory = self._memory()  # outside of `try`: a GPU that cannot be queried has failed
        try:
            with _quiet():
                traits, demand = self._demand(traits, earlier)
                choice = self._choose(demand, memory, earlier)
        except _UNTRACEABLE as error:
            if is_device_failure(error) or is_out_of_memory(error):
                raise
            first_line = str(error).strip().partition("\n")[0][:200]
            return MemoryPlan(
                f"the step could not be traced ({type(error).__name__}: {first_line}), so the memory was only estimated",
                before + time.monotonic() - started,
                failed=True,
                kept_unpacked=earlier is not None and earlier.dequantizes,
            )
        seconds = before + time.monotonic() - started
        return MemoryPlan(
            f"the step was run on fake tensors before the weights were loaded, in {seconds:.1f} s",
            seconds,
            demand,
            choice,
            traits,
            _dequantize_reason(self._device, choice, demand)
            if earlier is None
            else earlier.dequantize_reason,
        )

    def _demand(self, known: Traits | None, earlier: MemoryPlan | None) -> tuple[Traits, Demand]:
        """Return the demand for the known traits, or for the expected ones."""
        traits = known or Traits.expected(self._directory, self._spec, self._device)
        if earlier is not None and earlier.demand is not None and earlier.traits is not None:
            if earlier.traits == traits:
                return traits, earlier.demand
            # The fused path changes the layers of the fake model, so it has to be rebuilt.
            if earlier.traits.fuses_lora == traits.fuses_lora:
                return traits, earlier.demand.with_traits(traits)
        arguments = (self._directory, self._spec, self._device, self._shape)
        try:
            return traits, trace_demand(*arguments, traits)
        except ValueError as error:
            if known is not None or "attn_implementation" not in str(error):
                raise
        traits = replace(traits, attention="eager")  # the architecture does not support SDPA
        return traits, trace_demand(*arguments, traits)

    def _memory(self) -> tuple[int, int]:
        """Return the free and the total bytes of this rank: those of its GPU, or its share of the host's memory."""
        if self._device.is_cuda:
            return free_gpu_bytes(self._device.torch_device)
        return free_host_bytes() // self._ranks, total_host_bytes() // self._ranks

    def _choose(
        self, demand: Demand, memory: tuple[int, int], earlier: MemoryPlan | None
    ) -> Choice:
        free, total = memory
        if not self._device.is_cuda:
            return choose_for_cpu(demand, self._spec, free, total, loaded=earlier is not None)
        if earlier is not None:
            choice = choose_for_gpu(demand, self._spec, free, total=total, loaded=True)
            return replace(choice, dequantizes=earlier.dequantizes)
        choice = choose_for_gpu(demand, self._spec, free, total=total)
        is_open = self._spec.engine.dequantize_base == "auto"
        return keep_unpacked(demand, choice) if is_open else choice


def _dequantize_reason(device: Device, choice: Choice, demand: Demand) -> str:
    more = f"{demand.unpacked_bytes / 2**30:.2f} GiB more"
    if not device.is_cuda:
        return _OFF_ON_CPU
    if choice.dequantizes:
        return f"the plan has room for it: it takes {more}, and neither the token budget nor activation checkpointing changes"
    return f"it takes {more}, which fits only with a smaller token budget or with activation checkpointing"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch from logging errors of fake operations: the plan's reason contains them."""
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
    trace = Trace(directory, spec, device, traits)
    program = loading = mapped = 0
    if not device.is_cuda:
        dtype, program = device.compute_dtype, resident_bytes()
        base = trace.resident_bytes - trace.adapter_bytes
        loading = program + loading_bytes(directory, dtype, base, trace.kept_bytes)
        mapped = mapped_bytes(directory, dtype, trace.kept_bytes)
        program += mapped

    return Demand(
        shape,
        trace,
        traits,
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
