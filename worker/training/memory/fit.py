"""Chooses token budget and activation checkpointing so that the traced step fits into the free memory."""

from dataclasses import dataclass, replace

from contracts.failure import FailureReason
from contracts.job import JobSpec
from worker.training.errors import TrainingError
from worker.training.memory.budget import CPU_REASON, CPU_TOKENS, CUDA_MOST_TOKENS
from worker.training.memory.demand import Demand

_GPU_SHARE = 0.92
"""Share of a GPU's free memory that traced tensors may fill; the allocator's blocks take the rest."""
_GPU_WORKSPACE = 2**28
"""Bytes for cuBLAS and the attention's backward pass, which the trace does not include."""
_REFINEMENTS = 3
_CLOSE = 0.95
"""A size that was already traced is used if it is at least this share of the largest one, because a trace takes
seconds."""
_GIB = 2**30


@dataclass(frozen=True)
class Choice:
    """Token budget and activation checkpointing."""

    tokens: int
    recomputes: bool
    is_reduced: bool
    """Whether memory is too scarce for the usual choice."""
    reason: str
    room: int
    """Bytes that a step may use."""
    is_scarce: bool = False
    """Whether the job runs slower, or may fail, because memory is short."""
    dequantizes: bool = False
    """Whether there is room to keep the base's layers in the compute type. If so, `room` is the memory that remains."""


def gpu_room(free: int) -> int:
    """Return how many bytes of traced tensors fit into a GPU with `free` bytes."""
    return int(free * _GPU_SHARE) - _GPU_WORKSPACE


def choose_for_gpu(
    demand: Demand, spec: JobSpec, free: int, *, total: int | None = None, loaded: bool = False
) -> Choice:
    """Return the choice for a GPU with `free` bytes, which must also hold the model unless it is `loaded`.

    Activations are recomputed only if the longest sample, or the requested budget, does not fit otherwise. Raises SPEC_REFUSED
    before the model is loaded if the longest sample would not fit even into all of the GPU's `total` bytes (by default `free`).
    """
    left = free if loaded else free - demand.resident_bytes
    room = gpu_room(free) - (free - left)
    options, setting = _options(spec), spec.engine.token_budget
    figures = f"traced for {free / _GIB:.1f} GiB of free GPU memory"
    for recomputes in options:
        scarce = recomputes and len(options) > 1
        if setting != "auto":
            filled = demand.shape.filled(setting, packs=demand.packs)
            if demand.step_bytes(filled, recomputes=recomputes) <= room:
                reason = "set by engine.token_budget"
                return Choice(setting, recomputes, scarce, reason, room, scarce)
            continue
        tokens = largest_tokens(demand, room, CUDA_MOST_TOKENS, recomputes=recomputes)
        if tokens is not None:
            reduced = scarce or tokens < min(CUDA_MOST_TOKENS, demand.shape.window)
            return Choice(tokens, recomputes, reduced, figures, room, scarce)
    if not loaded:
        _reject_if_larger(demand, spec, (total or free) - demand.resident_bytes, "GPU memory")
    tokens = demand.shape.longest if setting == "auto" else setting
    return Choice(tokens, options[-1], True, f"{figures}, which is barely enough", room, True)


def keep_unpacked(demand: Demand, choice: Choice) -> Choice:
    """Return the choice with the base's layers kept in the compute type if they fit into the GPU, otherwise `choice`.

    There is room if neither the token budget nor activation checkpointing has to change. The step's bytes are an upper bound,
    because they include the buffer into which a layer is unpacked. While the model is being loaded, both forms are in memory.
    """
    step = demand.known_step_bytes(choice.tokens, recomputes=choice.recomputes)
    if step is None or choice.is_reduced or choice.recomputes:
        return choice
    packed = demand.packed_bytes
    left = choice.room - demand.unpacked_bytes
    return replace(choice, dequantizes=True, room=left) if max(step, packed) <= left else choice


def choose_for_cpu(
    demand: Demand, spec: JobSpec, free: int, total: int, *, loaded: bool = False
) -> Choice:
    """Return the usual budget, or a smaller one if the usual one does not fit into the host's `free` bytes.

    Raises SPEC_REFUSED if the job cannot even fit into `total` bytes.
    """
    setting = spec.engine.token_budget
    usual = CPU_TOKENS if setting == "auto" else setting
    reason = CPU_REASON if setting == "auto" else "set by engine.token_budget"
    room = int((free if loaded else free - demand.resident_bytes) / demand.growth)
    options = _options(spec)
    filled = demand.shape.filled(usual, packs=demand.packs)
    if demand.step_bytes(filled, recomputes=options[0]) <= room:
        return Choice(usual, options[0], False, reason, room)
    figures = f"traced for {free / _GIB:.1f} GiB of free memory, which is too little for {usual}"
    for recomputes in options:
        if setting != "auto":
            if demand.step_bytes(filled, recomputes=recomputes) <= room:
                return Choice(setting, recomputes, True, figures, room, True)
            continue
        tokens = largest_tokens(demand, room, usual, recomputes=recomputes)
        if tokens is not None:
            return Choice(tokens, recomputes, True, figures, room, True)
    program = demand.program_bytes - demand.mapped_bytes
    _reject_if_larger(demand, spec, total - program - demand.resident_bytes, "memory of this host")
    tokens = demand.shape.longest if setting == "auto" else setting
    return Choice(tokens, options[-1], True, f"{figures}; it may run out", room, True)


def largest_tokens(demand: Demand, room: int, most: int, *, recomputes: bool) -> int | None:
    """Return the largest budget of at most `most` tokens whose step fits into `room` bytes.

    Never less than the longest sample, which cannot be split; None if that sample does not fit.
    """
    least = demand.shape.longest
    most = demand.shape.filled(most, packs=demand.packs)
    if demand.step_bytes(most, recomputes=recomputes) <= room:
        return most
    tokens = demand.curve(most, recomputes=recomputes).largest(room, least, most)
    close = demand.traced_tokens(int(tokens * _CLOSE), tokens, room, recomputes=recomputes)
    if close is not None and close >= least:
        return close
    for _ in range(_REFINEMENTS):  # between the traced points, the curve is only approximate
        if demand.step_bytes(tokens, recomputes=recomputes) <= room:
            return tokens
        tokens = max(least, int(tokens * 0.95))
    return least if demand.step_bytes(least, recomputes=recomputes) <= room else None


def raised_tokens(demand: Demand, choice: Choice, measured: int) -> int:
    """Return the budget that fits if all predictions are too high by the same factor as the one for the `measured` bytes.

    Never less than the chosen budget.
    """
    predicted = demand.known_step_bytes(choice.tokens, recomputes=choice.recomputes)
    curve = demand.known_curve(recomputes=choice.recomputes)
    if predicted is None or curve is None or measured >= predicted:
        return choice.tokens
    most = demand.shape.filled(CUDA_MOST_TOKENS, packs=demand.packs)
    return curve.largest(choice.room * predicted / max(1, measured), choice.tokens, most)


def _options(spec: JobSpec) -> list[bool]:
    """Return the permitted values of activation checkpointing, the preferred one first."""
    setting = spec.engine.activation_checkpointing
    return [False, True] if setting == "auto" else [setting]


def _reject_if_larger(demand: Demand, spec: JobSpec, room: int, kind: str) -> None:
    recomputes = _options(spec)[-1]
    longest = demand.shape.longest
    step = demand.step_bytes(longest, recomputes=recomputes)
    if step <= room:
        return
    model, available = demand.resident_bytes, room + demand.resident_bytes
    how = "with" if recomputes else "without"
    raise TrainingError(
        FailureReason.SPEC_REFUSED,
        f"the job does not fit into the {kind}: the model with its adapter and optimizer takes {model / _GIB:.2f} GiB, and a "
        f"sample of {longest:,} tokens takes {step / _GIB:.2f} GiB more ({how} activation checkpointing), but only "
        f"{available / _GIB:.2f} GiB are available. {_help(demand, spec, available)}",
        evidence={
            "base_bytes": demand.base_bytes,
            "model_bytes": model,
            "step_bytes": step,
            "available_bytes": available,
            "longest_sample_tokens": longest,
            "activation_checkpointing": recomputes,
        },
    )


def _help(demand: Demand, spec: JobSpec, available: int) -> str:
    """Return what makes the job fit, and what does not. It depends on what is too large: the base, the adapter or a sample."""
    if demand.base_bytes >= available:
        cause = (
            f"The base model alone takes {demand.base_bytes / _GIB:.2f} GiB, so a lower training.max_length or lora.rank does "
            "not help"
        )
        steps = ["use a smaller base model"]
    elif demand.resident_bytes >= available:
        cause = "A lower training.max_length does not help, because the adapter is too large"
        steps = ["lower lora.rank"]
    else:
        cause, steps = "", ["lower training.max_length", "lower lora.rank"]
        if not _options(spec)[-1]:
            steps.append("set engine.activation_checkpointing to auto")
    if spec.engine.dequantize_base is True:
        steps.append("set engine.dequantize_base to auto")
    if demand.is_cuda:
        gpus = (
            "a higher resources.gpus does not help either"
            if cause
            else "A higher resources.gpus does not help"
        )
        cause = "; ".join(filter(None, (cause, f"{gpus}, because each GPU holds the whole model")))
    steps.append("use a device with more memory")
    advice = f"{', '.join(steps[:-1])}, or {steps[-1]}"
    return ". ".join(filter(None, (advice[0].upper() + advice[1:], cause)))
