"""Counts how often a program waits for its device: each time the host reads a value that the device computes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
_READS = {
    aten._local_scalar_dense,  # item(), bool(), float(), int()
    aten.nonzero,
    aten.masked_select,
    aten._unique2,
    aten.unique_dim,
    aten.unique_consecutive,
    aten.repeat_interleave,
    aten.equal,
    aten.bincount,
}
"""Operations whose result, or its shape, the host reads from the device."""
_COPIES = {Tensor.tolist, Tensor.cpu, Tensor.numpy, Tensor.__array__}
"""Methods that copy to the host. On a CPU they dispatch no operation."""


@contextmanager
def host_reads(
    on_read: Callable[[], None], on_operation: Callable[[str], None] = lambda _: None
) -> Iterator[None]:
    """Call `on_read` for each read in this thread, and `on_operation` with each operation's name."""
    with _Copies(on_read), _Operations(on_read, on_operation):
        yield


class _Copies(TorchFunctionMode):
    def __init__(self, on_read: Callable[[], None]) -> None:
        super().__init__()
        self._on_read = on_read

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _COPIES or (func is Tensor.to and _names_cpu(*args[1:], **(kwargs or {}))):
            self._on_read()
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped in torch
    def __init__(self, on_read: Callable[[], None], on_operation: Callable[[str], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in torch
        self._on_read, self._on_operation = on_read, on_operation

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet = func.overloadpacket
        # An index of booleans selects as many elements as the device finds.
        selects = packet is aten.index and any(
            i is not None and i.dtype is torch.bool for i in args[1]
        )
        if packet in _READS or selects:
            self._on_read()
        self._on_operation(packet.__name__)
        return func(*args, **(kwargs or {}))


def _names_cpu(*targets: Any, device: Any = None, **_options: Any) -> bool:
    """Return whether these arguments of Tensor.to() name a CPU. A torch.device may be the tensor's current one."""
    return "cpu" in [each for each in (device, *targets) if isinstance(each, str)]
