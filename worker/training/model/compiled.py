"""Compiles the decoder's layers with torch.compile, if the results for random tokens stay the same.

All layers and all lengths share one graph, because the layers have the same code and their weights are inputs of the
graph. There are separate graphs for the first layer, whose inputs need no gradient, and the others; for training and
evaluation; for attention with and without a mask; and for kept and recomputed activations.
"""

import contextlib
from collections.abc import Generator, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from worker.training.compute.device import Device
from worker.training.model.proofs import close, hidden_states, random_ids, two_samples

_MOST_GRAPHS = 32
"""Number of graphs that torch keeps for the layers' code. Beyond its default of 8, layers silently run uncompiled."""
_TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 5e-2}
"""Accepted relative differences. In bfloat16, compiled layers round less often."""


def compile_if_proven(
    body: Any, head: nn.Linear, device: Device, backend: Any = "inductor"
) -> tuple[bool, str]:
    """Compile the layers of the decoder, unless a proof fails; return whether they are compiled, and the reason.

    The proof compiles the graphs for training and evaluation, with packed samples and with one, so training
    rarely has to compile.
    """
    layers = getattr(body, "layers", None)
    if layers is None:
        return False, "this architecture has no list of decoder layers to compile"
    dynamo: Any = torch._dynamo  # noqa: SLF001  # torch documents its settings and counters under this name
    dynamo.config.recompile_limit = max(dynamo.config.recompile_limit, _MOST_GRAPHS)
    expected, before = list(_results(body, head, device)), _graph_breaks()
    for layer in layers:
        layer.compile(dynamic=True, backend=backend)
    tolerance = _TOLERANCES[device.compute_dtype]
    problem = None
    try:
        # Stops at the first difference, because each further result may take seconds to compile.
        with contextlib.closing(_results(body, head, device)) as found:
            if not all(close(a, b, tolerance) for a, b in zip(found, expected, strict=True)):
                problem = "compiled layers returned a different result"
    except (RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError) as error:
        problem = f"compiled layers failed: {type(error).__name__}: {error}"[:300]
    if problem is not None:
        for layer in layers:
            layer._compiled_call_impl = None  # noqa: SLF001  # torch has no public way to undo this
        return False, problem
    reason = "compiled layers returned the same outputs and gradients as uncompiled ones for random tokens"
    if breaks := _graph_breaks() - before:
        reason += f"; the compiler split them in {breaks} places"
    return True, reason


def _graph_breaks() -> int:
    return int(torch._dynamo.utils.counters["graph_break"].total())  # noqa: SLF001  # as torch documents it


def _results(body: Any, head: nn.Linear, device: Device) -> Generator[Tensor, None, None]:
    """Yield hidden states and the adapter's gradients, in training and in evaluation, for two packed samples and for one."""
    ids = random_ids(head)
    one_sample = torch.arange(ids.shape[1], device=ids.device)[None]
    with _weights_in_adapter(body) as adapter:
        for positions in (two_samples(head), one_sample):
            _train_without_dropout(body)
            with device.autocast():
                states = hidden_states(body, ids, positions)
            direction = torch.randn(states.shape, generator=torch.Generator().manual_seed(1))
            gradients = torch.autograd.grad(states, adapter, direction.to(states))
            yield states.detach()
            yield torch.cat([each.flatten() for each in gradients])
            body.eval()
            with torch.no_grad(), device.autocast():
                states = hidden_states(body, ids, positions)
            yield states


@contextlib.contextmanager
def _weights_in_adapter(body: Any) -> Iterator[list[nn.Parameter]]:
    """Set random weights in the adapter, because a new adapter has no effect; restore its own weights afterwards."""
    adapter = [parameter for parameter in body.parameters() if parameter.requires_grad]
    own = [parameter.detach().clone() for parameter in adapter]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in adapter:
            random = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(random / parameter.shape[1] ** 0.5)
    try:
        yield adapter
    finally:
        with torch.no_grad():
            for parameter, weights in zip(adapter, own, strict=True):
                parameter.copy_(weights)


def _train_without_dropout(body: Any) -> None:
    """Prepare for training, but without dropout, because compiled code may draw different random numbers."""
    body.train()
    for module in body.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
