"""Runs the training step on fake tensors of the device and measures the memory that it would take."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from contracts.job import JobSpec
from worker.training.compute.device import Device
from worker.training.data.arrays import Sample
from worker.training.data.batches import pack
from worker.training.learning.loss import sum_nll
from worker.training.learning.optim import build_optimizer
from worker.training.memory.tracing.fake_attention import UNMASKED, FakeAttention, set_segments
from worker.training.memory.tracing.fake_model import FakeLinear4bit, Traits, build_fake_model
from worker.training.memory.tracing.tracker import MemoryTracker
from worker.training.model.proofs import narrowest_window


class Trace:
    """The model, its adapter and its optimizer on fake tensors, ready to run steps of any size."""

    def __init__(self, directory: Path, spec: JobSpec, device: Device, traits: Traits) -> None:
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        self._tracker = MemoryTracker(device.torch_device)
        with self._fake, self._tracker, FakeAttention():
            self.model = build_fake_model(directory, spec, device, traits)
            # Fused, because the loop over parameters reads values, which fake tensors do not have. The memory is the same.
            self._optimizer = build_optimizer(
                self.model.adapter_parameters, spec.training, fused=True
            )
        self._traced: dict[tuple[Any, ...], int] = {}
        self.steps = 0
        """Number of steps that were run."""
        self._max_grad_norm = spec.training.max_grad_norm
        self.resident_bytes = self._tracker.live_bytes
        """Base, adapter, gradients and moments."""
        trained = sum(p.nbytes for p in self.model.peft_model.parameters() if p.requires_grad)
        self.adapter_bytes = 4 * trained
        """Of the resident bytes, those of the adapter, its gradients and its two moments."""
        self.kept_bytes = sum(
            parameter.nbytes
            for parameter in self.model.peft_model.parameters()
            if not parameter.requires_grad and parameter.dtype is not torch.uint8
        )
        """The base's weights that are not stored in 4 bits."""
        layers = [m for m in self.model.peft_model.modules() if isinstance(m, FakeLinear4bit)]
        self.packed_bytes = sum(layer.packed_bytes for layer in layers)
        """The base's 4-bit layers."""
        whole = self.model.linear_parameters * device.compute_dtype.itemsize
        self.unpacked_bytes = whole - self.packed_bytes
        """Additional bytes that these layers take if they are kept in the compute type."""

    def step_bytes(
        self, samples: Sequence[Sample], traits: Traits, *, recomputes: bool = False
    ) -> int:
        """Return the peak of one update with one micro-batch of these samples, above the resident bytes.

        Each step is traced once; later calls return the stored bytes.
        """
        attention = self._attention(samples, traits)
        supervised = sum(sample.supervised_tokens for sample in samples)
        lengths = tuple(len(sample) for sample in samples)
        key = (lengths, supervised, recomputes, attention, traits.plain_head)
        if key not in self._traced:
            self._prepare(attention, recomputes=recomputes)
            self._traced[key] = self._run(samples, traits)
            self.steps += 1
        return self._traced[key]

    def _prepare(self, attention: str, *, recomputes: bool) -> None:
        base = self.model.peft_model.get_base_model()
        base.set_attn_implementation(attention)
        base.activation_checkpointing_disable()
        base.disable_input_require_grads()  # activation checkpointing enables this, but never disables it
        if recomputes:
            # Layers that run again in the backward pass do not inherit the step's FakeAttention.
            self.model.checkpoint_activations(lambda: (contextlib.nullcontext(), FakeAttention()))

    def _run(self, samples: Sequence[Sample], traits: Traits) -> int:
        model = replace(self.model, packs=traits.packs, plain_head=traits.plain_head)
        (batch,) = pack(samples, sum(len(sample) for sample in samples))
        set_segments([len(sample) for sample in samples])
        self._tracker.forget_peak()
        parameters = model.adapter_parameters
        with self._fake, self._tracker, FakeAttention():
            model.train()
            self._optimizer.zero_grad(set_to_none=False)
            moved = batch.moved(lambda tensor: tensor.to(model.device.torch_device))
            sum_nll(model, moved).backward()  # type: ignore[no-untyped-call]  # untyped in torch
            norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            torch.nn.utils.clip_grads_with_norm_(parameters, self._max_grad_norm, norm)
            self._optimizer.step()
        return self._tracker.peak_bytes - self.resident_bytes

    def _attention(self, samples: Sequence[Sample], traits: Traits) -> str:
        """Return the attention of a step: without a mask if the real step builds none, as for a single sample.

        For a traced step, transformers would always build one.
        """
        if traits.attention != "sdpa":
            return traits.attention
        window = narrowest_window(self.model.config)
        needs_mask = len(samples) > 1 or (window is not None and window < len(samples[0]))
        return "sdpa" if needs_mask else UNMASKED
