"""The traced step takes as much memory as a real step."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from torch.nn import functional

from contracts.job import JobSpec
from tests.worker.training.conftest import small_spec
from worker.training.compute.device import choose_device
from worker.training.data.arrays import Sample
from worker.training.data.batches import pack
from worker.training.learning.loss import sum_nll
from worker.training.learning.optim import build_optimizer
from worker.training.memory.tracing.fake_attention import UNMASKED
from worker.training.memory.tracing.fake_model import Traits
from worker.training.memory.tracing.trace import Trace
from worker.training.memory.tracing.tracker import MemoryTracker
from worker.training.model.load import load_model

CPU = choose_device("float32", None)
PLAIN = Traits(UNMASKED, packs=True, plain_head=True)


def samples(count: int, length: int) -> list[Sample]:
    supervised = np.arange(length) >= length // 2
    return [Sample(np.full(length, 7, dtype=np.int32), supervised) for _ in range(count)]


def real_step_bytes(
    directory: Path, spec: JobSpec, batch: list[Sample], *, recomputes: bool
) -> int:
    """Return the peak of a step of the loaded model above the bytes that were live before it, counted with the same tracker."""
    model = load_model(directory, spec, choose_device(spec.quantization.compute_dtype, None))
    optimizer = build_optimizer(model.adapter_parameters, spec.training, fused=True)
    if recomputes:
        model.checkpoint_activations()
    model.train()
    (packed,) = pack(batch, sum(map(len, batch)))
    tracker = MemoryTracker(torch.device("cpu"))
    for layer in model.peft_model.modules():
        if hasattr(layer, "shared_weights"):
            tracker.follow(layer.shared_weights._buffer)
    for parameter in model.peft_model.parameters():
        tracker.follow(parameter)
    for copy in model.copies.tensors if model.copies else ():
        tracker.follow(copy)
    for parameter in model.adapter_parameters:
        assert parameter.grad is not None
        for value in (parameter.grad, *optimizer.state[parameter].values()):
            tracker.follow(value)
    resident = tracker.live_bytes
    with tracker:
        sum_nll(model, packed).backward()  # type: ignore[no-untyped-call]  # untyped in torch
        optimizer.step()
    return tracker.peak_bytes - resident


@pytest.mark.parametrize(
    ("changes", "recomputes"),
    [
        ({}, False),
        ({}, True),
        ({"lora": {"rank": 64, "alpha": 16, "dropout": 0.1}}, False),
        ({"quantization": {"compute_dtype": "bfloat16"}}, False),
        ({"engine": {"dequantize_base": True}}, False),
        (
            {
                "engine": {"fused_lora": True},
                "lora": {"rank": 64, "alpha": 16, "dropout": 0.1},
                "quantization": {"compute_dtype": "bfloat16"},
            },
            False,
        ),
    ],
    ids=["plain", "recomputed", "dropout", "bfloat16", "dequantized", "fused adapter"],
)
def test_a_traced_step_takes_as_much_memory_as_a_real_step(
    tiny_model: Path, changes: dict[str, Any], recomputes: bool
) -> None:
    spec, batch = small_spec(**changes), samples(4, 128)
    device = choose_device(spec.quantization.compute_dtype, None)
    traits = Traits.expected(tiny_model, spec, device)

    traced = Trace(tiny_model, spec, device, traits).step_bytes(
        batch, traits, recomputes=recomputes
    )

    real = real_step_bytes(tiny_model, spec, batch, recomputes=recomputes)
    assert traced == pytest.approx(real, rel=0.03)


def test_the_resident_bytes_are_those_of_the_loaded_model_and_its_optimizer(
    tiny_model: Path, load: Callable[..., Any]
) -> None:
    spec = small_spec()
    trace = Trace(tiny_model, spec, CPU, PLAIN)
    model = load()
    base = sum(p.nbytes for p in model.peft_model.parameters() if not p.requires_grad)
    adapter = sum(p.nbytes for p in model.adapter_parameters)

    unpacked = 4 * 256 * 128  # the buffer into which all layers unpack
    assert trace.resident_bytes == pytest.approx(base + 4 * adapter + unpacked, rel=0.05)
    assert trace.model.trainable_parameters == model.trainable_parameters
    assert trace.model.quantized_layers == model.quantized_layers


def test_memory_grows_with_the_square_of_the_tokens_only_with_a_dense_mask(
    tiny_model: Path,
) -> None:
    def curvature(attention: str) -> float:
        traits = Traits(attention, packs=True, plain_head=True)
        trace = Trace(tiny_model, small_spec(), CPU, traits)
        low, middle, high = (trace.step_bytes(samples(n, 64), traits) for n in (16, 32, 48))
        return (high - 2 * middle + low) / 1024**2

    # Per layer, one float32 per pair of tokens; the boolean mask once.
    assert curvature("sdpa") > 4
    assert curvature(UNMASKED) < 0.5


def test_tracing_consumes_no_random_numbers_and_leaves_torch_unchanged(tiny_model: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()

    trace = Trace(tiny_model, small_spec(), CPU, PLAIN)
    trace.step_bytes(samples(2, 64), PLAIN)

    assert torch.equal(torch.get_rng_state(), before)
    assert torch.zeros(2).sum().item() == 0  # new tensors are not fake


def test_one_fake_model_is_used_for_all_traits_and_runs_each_step_once(tiny_model: Path) -> None:
    masked = replace(PLAIN, attention="sdpa")
    trace, batch = Trace(tiny_model, small_spec(), CPU, PLAIN), samples(8, 64)
    steps = [(PLAIN, False), (PLAIN, True), (masked, False), (masked, True)]

    found = [trace.step_bytes(batch, traits, recomputes=again) for traits, again in steps]

    assert found == [
        Trace(tiny_model, small_spec(), CPU, traits).step_bytes(batch, traits, recomputes=again)
        for traits, again in steps
    ]
    assert len(set(found)) == 4
    assert [trace.step_bytes(batch, traits, recomputes=again) for traits, again in steps] == found
    assert trace.steps == 4


def test_a_single_sample_needs_no_mask_and_is_not_traced_again_for_one(tiny_model: Path) -> None:
    trace = Trace(tiny_model, small_spec(), CPU, PLAIN)

    sizes = {
        trace.step_bytes(samples(1, 64), traits)
        for traits in (PLAIN, replace(PLAIN, attention="sdpa", packs=False))
    }

    assert (len(sizes), trace.steps) == (1, 1)


def test_tracing_replaces_nothing_in_torch_or_peft(tiny_model: Path) -> None:
    def functions() -> list[object]:
        moves = BaseTunerLayer._move_adapter_to_device_of_base_layer
        return [functional.scaled_dot_product_attention, nn.Module.to, moves]

    seen: list[list[object]] = []
    before = functions()
    with nn.modules.module.register_module_parameter_registration_hook(
        lambda *_: seen.append(functions())
    ):
        trace = Trace(tiny_model, small_spec(), CPU, PLAIN)
    trace.model.body.register_forward_pre_hook(lambda *_: seen.append(functions()))
    trace.step_bytes(samples(2, 64), PLAIN)

    assert len(seen) > 10
    assert all(found == before for found in seen)
