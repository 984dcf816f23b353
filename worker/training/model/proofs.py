"""Verifies the engine's assumptions about a model when it is loaded, with a few random tokens.

The assumptions: the model's attention is causal; samples packed into one row do not mix; the logits are head(hidden); and
computing attention sample by sample does not change the result.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from contracts.failure import FailureReason
from worker.training.errors import TrainingError
from worker.training.model.varlen import VARLEN

_WINDOW = re.compile(r"(window|window_size|chunk_size)$")
_FIRST, _SECOND = 9, 7
"""Lengths in tokens of the two packed samples."""
CAPS_AND_SCALES = ("final_logit_softcapping", "logits_scaling", "logit_scale")
"""Keys of config.json for operations between head(hidden) and the logits."""
_ROUNDING = 1e-3
"""Relative difference allowed between two computations of the same product."""
GRADIENT_TOLERANCES = {torch.float32: 1e-3, torch.bfloat16: 5e-2}
"""Relative differences allowed between two computations of the gradient of queries, keys or values, from the same operands."""


def attention_of(base: Any) -> str:
    """Return the name of the model's attention implementation."""
    return str(base.config._attn_implementation)  # noqa: SLF001  # transformers has no public name for it


def narrowest_window(config: Any) -> int | None:
    """Return the shortest attention window of any layer in tokens, according to config.json."""
    named = config.get_text_config().to_dict().items()
    widths = [v for name, v in named if isinstance(v, int) and v > 0 and _WINDOW.search(name)]
    return min(widths, default=None)


def hidden_states(
    body: Any,
    ids: Tensor,
    positions: Tensor,
    boundaries: Tensor | None = None,
    longest: int | None = None,
) -> Tensor:
    """Return the last hidden states [1, T, hidden] of ids and positions [1, T].

    `boundaries` and `longest` describe the samples as in MicroBatch. Only varlen attention needs them; without them, they are
    computed from the positions, which waits for the device.
    """
    options = attention_options(body, positions, boundaries, longest)
    # Packed samples stay separate only without a mask, without a cache, and with positions that restart.
    output = body(
        input_ids=ids, position_ids=positions, attention_mask=None, use_cache=False, **options
    )
    states: Tensor = output.last_hidden_state
    return states


def attention_options(
    body: Any, positions: Tensor, boundaries: Tensor | None = None, longest: int | None = None
) -> dict[str, Any]:
    """Return the arguments that describe the samples to the model's attention; see hidden_states()."""
    if attention_of(body) != VARLEN:
        return {}
    if boundaries is None:
        boundaries = _boundaries_of(positions[0])
        longest = int(boundaries.diff().max())
    options: dict[str, Any] = {"cu_seq_lens_q": boundaries, "cu_seq_lens_k": boundaries}
    return options | {"max_length_q": longest, "max_length_k": longest}


def _boundaries_of(positions: Tensor) -> Tensor:
    starts = torch.nonzero(positions == 0).flatten()
    end = torch.tensor([len(positions)], device=positions.device)
    return torch.cat([starts, end]).to(torch.int32)


@torch.no_grad()
def check_causal(body: Any, head: nn.Linear) -> None:
    """Reject a model that is not causal, because it would see the tokens that it learns to predict."""
    body.eval()
    ids = random_ids(head)
    positions = torch.arange(ids.shape[1], device=ids.device)[None]
    # Keep the same length, because products of different shapes may differ by more than rounding errors.
    other = ids.clone()
    other[:, _FIRST:] = ids[:, :_SECOND].flip(1)
    states, others = hidden_states(body, ids, positions), hidden_states(body, other, positions)
    is_finite = bool(states.isfinite().all())  # if not, the first evaluation reports it
    if is_finite and not close(others[:, :_FIRST], states[:, :_FIRST]):
        raise TrainingError(
            FailureReason.MODEL_REFUSED,
            "the model is not a causal language model: its output for a token depends on later tokens",
        )


def prove(base: Any, body: Any, head: nn.Linear) -> tuple[bool, bool]:
    """Return whether packed samples do not influence each other, and whether the logits are exactly head(hidden)."""
    base.eval()
    return _keeps_apart(body, head), _has_plain_head(base, body, head)


def _keeps_apart(body: Any, head: nn.Linear) -> bool:
    ids, positions = random_ids(head), two_samples(head)
    with torch.no_grad():
        alone = hidden_states(body, ids[:, _FIRST:], positions[:, _FIRST:])
        packed = hidden_states(body, ids, positions)[:, _FIRST:]
    return close(packed, alone) and not _sees_first(body, ids, positions)


def _sees_first(body: Any, ids: Tensor, positions: Tensor) -> bool:
    """Return whether the second sample's hidden states depend on the first sample's tokens.

    Uses gradients instead of values: rounding changes values by several percent in bfloat16, which may hide weak mixing, but a
    gradient that must be zero is exactly zero in any dtype.
    """
    embedded: list[Tensor] = []

    def watch(_module: Any, _inputs: Any, output: Tensor) -> None:
        embedded.append(output.requires_grad_())

    hook = body.get_input_embeddings().register_forward_hook(watch)
    try:
        states = hidden_states(body, ids, positions)
    finally:
        hook.remove()
    direction = torch.randn(states.shape, generator=torch.Generator().manual_seed(0))
    direction[:, :_FIRST] = 0
    (gradient,) = torch.autograd.grad(states, embedded[:1], direction.to(states))
    return bool(gradient[:, :_FIRST].any())


@torch.no_grad()
def _has_plain_head(base: Any, body: Any, head: nn.Linear) -> bool:
    # Check the keys, because a cap far above the logits of random tokens changes the logits by less than any tolerance.
    config = base.config.get_text_config()
    if any(getattr(config, name, None) not in {None, 1} for name in CAPS_AND_SCALES):
        return False
    states: list[Tensor] = []
    hook = body.register_forward_hook(
        lambda _m, _i, output: states.append(output.last_hidden_state)
    )
    try:
        own = base(input_ids=random_ids(head), attention_mask=None, use_cache=False).logits
    finally:
        hook.remove()
    # Use the same hidden states, so any difference comes from the head.
    return len(states) == 1 and close(head(states[0].to(head.weight.dtype)), own, _ROUNDING)


def prefer(attention: str, base: Any, body: Any, head: nn.Linear) -> str | None:
    """Use an attention without a mask (SEGMENTS or VARLEN) if the model supports it; otherwise return why it does not.

    Its outputs and gradients must be the same as with SDPA's mask, and packed samples must not influence each other.
    """
    if attention_of(base) != "sdpa":
        return "the architecture does not support SDPA"
    if attention == VARLEN and getattr(base.config.get_text_config(), "attention_dropout", False):
        return "the model's attention has dropout, which varlen attention does not support"
    base.eval()
    ids, positions = random_ids(head), two_samples(head)
    with torch.no_grad():
        expected = hidden_states(body, ids, positions)
    base.set_attn_implementation(attention)
    try:
        with torch.no_grad(), _recorded(attention) as calls:
            same = close(hidden_states(body, ids, positions), expected)
        with torch.no_grad():
            # Only the whole model can compute a head that is not plain.
            base(
                input_ids=ids,
                position_ids=positions,
                attention_mask=None,
                use_cache=False,
                **attention_options(body, positions),
            )
        if not same or _sees_first(body, ids, positions):
            reason = "attention without a mask returned a different result"
        elif not _same_gradients(attention, calls, positions):
            reason = "attention without a mask returned different gradients"
        else:
            return None
    except (ValueError, TypeError, RuntimeError) as error:
        reason = f"attention without a mask failed: {type(error).__name__}: {error}"[:300]
    base.set_attn_implementation("sdpa")
    return reason


Call = tuple[tuple[Any, ...], dict[str, Any]]
"""The arguments of a call of an attention function."""


@contextlib.contextmanager
def _recorded(attention: str) -> Iterator[list[Call]]:
    """Yield a list that gets the arguments of each call of this attention, one per layer."""
    calls: list[Call] = []
    function = ALL_ATTENTION_FUNCTIONS[attention]

    def record(*arguments: Any, **options: Any) -> Any:
        calls.append((arguments, options))
        return function(*arguments, **options)

    ALL_ATTENTION_FUNCTIONS[attention] = record  # hides the registered function until it is deleted
    try:
        yield calls
    finally:
        del ALL_ATTENTION_FUNCTIONS[attention]


def _same_gradients(attention: str, calls: Sequence[Call], positions: Tensor) -> bool:
    """Return whether the gradients of queries, keys and values equal those of SDPA with a mask.

    Each layer gets the same operands in both cases: over a whole model in bfloat16, rounding errors grow until the gradients
    differ by half. The layers are compared together, because one whose attention is saturated has tiny gradients that
    consist mostly of rounding errors.
    """
    samples = (positions[0] == 0).cumsum(0)
    mask = (samples[:, None] == samples[None]).tril()[None, None]
    found = [_operand_gradients(attention, call, call[0][4]) for call in calls]
    expected = [_operand_gradients("sdpa", call, mask) for call in calls]
    return all(
        close(torch.cat(own), torch.cat(other), GRADIENT_TOLERANCES.get(own[0].dtype))
        for own, other in zip(zip(*found, strict=True), zip(*expected, strict=True), strict=True)
    )


def _operand_gradients(attention: str, call: Call, mask: Tensor | None) -> list[Tensor]:
    """Return the flattened gradients of the call's queries, keys and values for a random gradient of its output."""
    (module, *operands), options = (call[0][:4], call[1])
    operands = [each.detach().requires_grad_() for each in operands]
    output: Tensor = ALL_ATTENTION_FUNCTIONS[attention](module, *operands, mask, **options)[0]
    direction = torch.randn(output.shape, generator=torch.Generator().manual_seed(0))
    gradients = torch.autograd.grad(output, operands, direction.to(output))
    return [each.flatten() for each in gradients]


def random_ids(head: nn.Linear) -> Tensor:
    """Return the ids of the two samples: [1, T]."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, head.weight.shape[0], (1, _FIRST + _SECOND), generator=generator)
    return ids.to(head.weight.device)


def two_samples(head: nn.Linear) -> Tensor:
    """Return the positions of the two samples, packed: [1, T]."""
    positions = [torch.arange(length, device=head.weight.device) for length in (_FIRST, _SECOND)]
    return torch.cat(positions)[None]


def close(found: Tensor, expected: Tensor, tolerance: float | None = None) -> bool:
    """Return whether two results differ only by rounding. The relative `tolerance` depends on the dtype by default."""
    if found.shape != expected.shape:
        return False
    if tolerance is None:
        tolerance = 1e-3 if expected.dtype is torch.float32 else 5e-2
    wrong = (found.float() - expected.float()).norm()
    return bool(wrong <= tolerance * expected.float().norm())
