"""Runs the training step on fake tensors of the device and measures the memory that it would take."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from contracts.job import JobSpec
from worker.training.compute.device import Device
from worker.training.data.batches import pack
from worker.training.data.samples import Sample
from worker.training.learning.loss import sum_nll
from worker.training.learning.optim import build_optimizer
from worker.training.memory.fake_attention import UNMASKED, fake_attention, set_segments
from worker.training.memory.fake_model import Traits, build_fake_model
from worker.training.memory.tracker import MemoryTracker
from worker.training.model.proofs import narrowest_window


class Trace:
    """The model, its adapter and its optimizer on fake tensors, ready to run steps of any size."""

    def __init__(self, directory: Path, spec: JobSpec, device: Device, traits: Traits) -> None:
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        self._tracker = MemoryTracker(device.torch_device)
        with self._fake, self._tracker, fake_attention():
            self.model = build_fake_model(directory, spec, device, traits)
            # Fused, because the loop over parameters reads values, which fake tensors do not have. The memory is the same.
            self._optimizer = build_optimizer(
                self.model.adapter_parameters, spec.training, fused=True
            )
        self._max_grad_norm = spec.training.max_grad_norm
        self.resident_bytes = self._tracker.live_bytes
        """Base, adapter, gradients and moments."""
        self.kept_bytes = sum(
            parameter.nbytes
            for parameter in self.model.peft_model.parameters()
            if not parameter.requires_grad and parameter.dtype is not torch.uint8
        )
        """The base's weights that are not stored in 4 bits."""

    def step_bytes(self, samples: Sequence[Sample]) -> int:
        """Return the peak of one update with one micro-batch of these samples, above the resident bytes."""
        (batch,) = pack(samples, sum(len(sample) for sample in samples))
        set_segments([len(sample) for sample in samples])
        if self.model.attention == "sdpa":
            self._choose_mask(samples)
        self._tracker.forget_peak()
        parameters = self.model.adapter_parameters
        with self._fake, self._tracker, fake_attention():
            self.model.train()
            self._optimizer.zero_grad(set_to_none=False)
            sum_nll(self.model, batch.to(self.model.device.torch_device)).backward()  # type: ignore[no-untyped-call]  # untyped in torch
            norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            torch.nn.utils.clip_grads_with_norm_(parameters, self._max_grad_norm, norm)
            self._optimizer.step()
        return self._tracker.peak_bytes - self.resident_bytes

    def _choose_mask(self, samples: Sequence[Sample]) -> None:
        """Attend without a mask if the real step builds none, as for a single sample. For a traced one, transformers always does."""
        base = self.model.peft_model.get_base_model()
        window = narrowest_window(base.config)
        needs_mask = len(samples) > 1 or (window is not None and window < len(samples[0]))
        base.set_attn_implementation("sdpa" if needs_mask else UNMASKED)
