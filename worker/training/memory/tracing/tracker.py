"""Counts the bytes of all live tensors of a device while a step runs on fake tensors."""

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_ALLOCATION = 512
"""torch's allocator on a GPU rounds every block up to a multiple of this number of bytes."""

_PRODUCTS = (torch.ops.aten.mm, torch.ops.aten.addmm)


class MemoryTracker(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped in torch
    """While active, tracks every storage that an operation creates on the device, until it is freed.

    It tracks the results of operations, but not the internal allocations of kernels; `_hidden_bytes` adds the large
    ones.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in torch
        self._device_type = device.type
        self._live: dict[int, tuple[int, weakref.ref[Any]]] = {}
        self.live_bytes = 0
        """Bytes of the storages that currently exist."""
        self.peak_bytes = 0
        """The largest number of bytes at any time since the last `forget_peak`."""

    def forget_peak(self) -> None:
        """Start a new measurement from the storages that are live now."""
        self.peak_bytes = self.live_bytes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and count the storages of its results."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.device.type == self._device_type:
                self.follow(leaf)
        self.peak_bytes = max(self.peak_bytes, self.live_bytes + _hidden_bytes(func, args))
        return result

    def follow(self, tensor: Tensor) -> None:
        """Count a tensor's storage until it is freed, if it is not counted yet."""
        storage = tensor.untyped_storage()
        key = storage._cdata  # noqa: SLF001  # torch has no public id for a storage
        if key in self._live:
            return
        size = -(-storage.nbytes() // _ALLOCATION) * _ALLOCATION
        self._live[key] = (size, weakref.ref(storage, lambda _: self._drop(key)))
        self.live_bytes += size

    def _drop(self, key: int) -> None:
        size, _ = self._live.pop(key)
        self.live_bytes -= size


def _hidden_bytes(func: Any, args: Any) -> int:
    """Return the bytes that the kernel of an operation allocates internally."""
    operation = func.overloadpacket
    if operation is torch.ops.aten.logsumexp:  # exp(input - maximum)
        return int(args[0].nbytes)
    if operation in _PRODUCTS and args[-1].device.type == "cpu":
        # oneDNN copies a bfloat16 weight into the layout of the processor's matrix units.
        return int(args[-1].nbytes) if args[-1].dtype is torch.bfloat16 else 0
    return 0
