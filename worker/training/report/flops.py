"""Counts the floating-point operations of training and computes their share of the device's peak.

Counted: products with the frozen layers (forward, and backward for the activations only), with the adapter (forward,
and backward twice) and with the head for supervised tokens. Not counted: attention (under 1 % at a few hundred
tokens), element-wise work, and operations repeated to save memory.
"""

import torch

from worker.training.compute.device import Device
from worker.training.model.trainable import TrainableModel
from worker.training.report.peaks import peak_flops


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
    return peak_flops(device.name) if is_known else None
