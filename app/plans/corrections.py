"""Corrects predictions with the results of finished jobs that used the same model on the same kind of device."""

import hashlib
import json
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

from pydantic import BaseModel

from app.plans.schemas import Basis, Note, Quantity
from contracts.attempt import Device
from contracts.job import JobSpec

_MOST_RESULTS = 5
"""Only the newest results count, because drivers, libraries and a host's load change."""
_FORMULA_BAND = 0.35
"""Relative error of a prediction that no job has corrected yet."""
_OTHER_SETTINGS_BAND, _SAME_SETTINGS_BAND = 0.25, 0.12
"""Relative error after one result with other settings, and after one with the same settings."""
_MARGIN = 0.06
"""Relative margin added to the range of several results."""


class Measured(BaseModel):
    """Measurements of a finished job, in units that can be applied to other jobs."""

    width: int
    """Bytes per value of the compute type."""
    peak_ratio: float | None
    """The measured peak divided by the peak predicted by the formula."""
    train_seconds_per_teraflop: float | None
    evaluate_seconds_per_teraflop: float | None
    loading_seconds: float | None
    tokenizing_seconds_per_row: float | None
    saving_seconds: float | None
    """For one checkpoint."""
    max_length: int
    tokens_per_row: float
    supervised_share: float | None


class Result(NamedTuple):
    """A finished job with the same model."""

    settings: str
    """See settings_key."""
    measured: Measured


class Correction(NamedTuple):
    """A factor, and the range in which the true value is expected."""

    value: float
    low: float
    high: float
    basis: Basis


def device_key(device: Device, gpus: int) -> str:
    """Return a key that is the same for all devices on which a job takes the same time and memory."""
    return f"{device.kind} {device.name}"[:280] + (f" x{gpus}" if gpus > 1 else "")


def settings_key(spec: JobSpec, gpus: int) -> str:
    """Return a hash of the settings that affect the time and memory per token."""
    content = {
        "lora": spec.lora.model_dump(mode="json", include={"rank", "target_modules"}),
        "dropout": spec.lora.dropout > 0,
        "quantization": spec.quantization.model_dump(mode="json"),
        "engine": spec.engine.model_dump(mode="json"),
        "max_length": spec.training.max_length,
        "batch": spec.effective_batch_size,
        "gpus": gpus,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def correct(
    results: Sequence[Result], settings: str, read: Callable[[Measured], float | None]
) -> Correction | None:
    """Return the correction from finished jobs, preferring those with the same settings; None without results."""
    known = [(each.settings, value) for each in results if (value := read(each.measured))]
    same = [value for key, value in known if key == settings][:_MOST_RESULTS]
    values = same or [value for _, value in known][:_MOST_RESULTS]
    if not values:
        return None
    middle = median(values)
    if len(values) == 1:
        band = _SAME_SETTINGS_BAND if same else _OTHER_SETTINGS_BAND
        low, high = middle * (1 - band), middle * (1 + band)
    else:
        margin = _MARGIN if same else 2 * _MARGIN
        low, high = min(values) * (1 - margin), max(values) * (1 + margin)
    return Correction(middle, low, high, "settings" if same else "model")


def correct_peak(results: Sequence[Result], settings: str) -> Correction:
    """Return the correction for the peak predicted by the formula."""
    found = correct(results, settings, lambda measured: measured.peak_ratio)
    return found or Correction(1.0, 1 - _FORMULA_BAND, 1 + _FORMULA_BAND, "formula")


def scaled(factor: Correction, value: float) -> Quantity:
    """Return a prediction with its range."""
    return Quantity(
        value=value * factor.value,
        low=value * factor.low,
        high=value * factor.high,
        basis=factor.basis,
    )


def unknown(code: str, **values: float | str) -> Quantity:
    """Return an unknown quantity with the reason why it is unknown."""
    return Quantity(reason=Note(code=code, values=values))


def exact(value: float) -> Quantity:
    """Return a quantity that is known exactly."""
    return Quantity(value=value, low=value, high=value, basis="exact")
