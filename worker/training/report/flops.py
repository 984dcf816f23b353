"""Counts the floating-point operations of training and computes their share of the device's peak.

Counted: products with the frozen layers (forward, and backward for the activations only), with the adapter (forward,
and backward twice) and with the head for supervised tokens. Not counted: attention (under 1 % at a few hundred
tokens), element-wise work, and operations repeated to save memory.
"""

import re

import torch

from worker.training.compute.device import Device
from worker.training.model.trainable import TrainableModel

_PEAKS = {
    "H200 NVL": 835e12,
    "H200": 989e12,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "A10G": 70e12,
    "A10": 125e12,
    "L40S": 362e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}
"""Dense bfloat16 operations per second from the data sheets; the first matching name is used."""
_SLOWER_VARIANTS = ("Laptop", "Max-Q", "MIG", "4090 D")
"""Words in the names of GPUs that are slower than the GPU they are named after, or are a slice of it."""


def training_flops(model: TrainableModel, tokens: int, supervised_tokens: int) -> float:
    """Return the number of operations to train on `tokens` tokens, `supervised_tokens` of them supervised."""
    per_token = 4 * model.linear_parameters + 6 * model.trainable_parameters
    return float(per_token * tokens + 4 * model.head.weight.numel() * supervised_tokens)


def utilisation(model: TrainableModel, flops: float, seconds: float) -> float | None:
    """Return the share of the device's peak that training reached; None if the peak is unknown."""
    peak = _peak(model.device)
    return None if peak is None else flops / seconds / peak


def _peak(device: Device) -> float | None:
    is_known = device.is_cuda and device.compute_dtype is torch.bfloat16
    if not is_known or any(words in device.name for words in _SLOWER_VARIANTS):
        return None
    found = (value for name, value in _PEAKS.items() if re.search(rf"\b{name}\b", device.name))
    return next(found, None)
