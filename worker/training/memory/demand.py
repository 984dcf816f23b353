"""The memory that a step needs: traced bytes for any number of tokens, with activations kept or recomputed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worker.training.data.arrays import Sample
from worker.training.memory.curve import Curve
from worker.training.memory.tracing.fake_model import Traits
from worker.training.memory.tracing.trace import Trace

CPU_GROWTH = 1.5
"""On a CPU, aligned blocks of many sizes fragment glibc's heap: by a factor of 1.0 in the first update, 1.4 to 1.7 in later ones (measured)."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a job's micro-batches, in tokens."""

    longest: int
    """Length of the longest sample."""
    window: int
    """Tokens in the largest possible update; no micro-batch is larger."""
    supervised: float
    """The largest share of supervised tokens in a sample."""
    longest_supervised: int
    """Supervised tokens of the longest sample."""
    most_supervised: int
    """Maximum number of supervised tokens in an update."""

    @classmethod
    def of(cls, samples: Sequence[Sample], effective_batch_size: int) -> "Shape":
        """Return the sizes for these training samples; there must be at least one."""
        lengths = sorted((len(sample) for sample in samples), reverse=True)
        counts = sorted((sample.supervised_tokens for sample in samples), reverse=True)
        return cls(
            longest=lengths[0],
            window=sum(lengths[:effective_batch_size]),
            supervised=max(sample.supervised_tokens / len(sample) for sample in samples),
            longest_supervised=max(
                sample.supervised_tokens for sample in samples if len(sample) == lengths[0]
            ),
            most_supervised=sum(counts[:effective_batch_size]),
        )

    def filled(self, token_budget: int, *, packs: bool) -> int:
        """Return the tokens of the fullest micro-batch under a budget."""
        return min(max(token_budget, self.longest), self.window) if packs else self.longest

    def fill(self, tokens: int) -> list[Sample]:
        """Return samples that make up a micro-batch of this size, none longer than the job's longest sample."""
        count = math.ceil(tokens / self.longest)
        lengths = [tokens // count + (number < tokens % count) for number in range(count)]
        most = self.longest_supervised if tokens == self.longest else self.most_supervised
        share = min(self.supervised, most / tokens)
        return [
            Sample(
                np.zeros(length, dtype=np.int32),
                np.arange(length) >= max(1, round(length * (1 - share))),
            )
            for length in lengths
        ]


class Demand:
    """Traces on first use and caches the results. After `release`, only cached results are available."""

    def __init__(
        self,
        shape: Shape,
        trace: Trace,
        traits: Traits,
        *,
        program_bytes: int = 0,
        mapped_bytes: int = 0,
        loading_bytes: int = 0,
    ) -> None:
        self.shape = shape
        self.packs = traits.packs
        self.resident_bytes = trace.resident_bytes
        """Base, adapter, gradients and moments."""
        self.base_bytes = trace.resident_bytes - trace.adapter_bytes
        """The base alone, which every rank holds as a whole."""
        self.packed_bytes = trace.packed_bytes
        """The base's 4-bit layers."""
        self.unpacked_bytes = trace.unpacked_bytes
        """Additional bytes if the base's layers are kept in the compute type instead of 4 bits."""
        self.program_bytes = program_bytes
        """Everything else in `peak_memory_bytes`: on a CPU, the program and its mapped weight files."""
        self.mapped_bytes = mapped_bytes
        """The mapped weight files within `program_bytes`. The kernel drops their pages when memory is needed."""
        self.loading_bytes = loading_bytes
        """The peak while the model is loaded, on a CPU."""
        self.is_cuda = trace.model.device.is_cuda
        self.growth = 1.0 if self.is_cuda else CPU_GROWTH
        """Factor by which the heap grows beyond the step's tensors."""
        self._traits = traits
        self._trace: Trace | None = trace
        self._points: dict[bool, dict[int, int]] = {False: {}, True: {}}
        self._curves: dict[bool, Curve] = {}

    def step_bytes(self, tokens: int, *, recomputes: bool) -> int:
        """Return the bytes traced for a step, on top of the resident bytes."""
        points = self._points[recomputes]
        if tokens not in points:
            if self._trace is None:
                raise RuntimeError("the fake model has been released")
            samples = self.shape.fill(tokens)
            points[tokens] = self._trace.step_bytes(samples, self._traits, recomputes=recomputes)
        return points[tokens]

    def with_traits(self, traits: Traits) -> "Demand":
        """Return the demand of the same job for a model with these traits, computed with the same fake model."""
        if self._trace is None:
            raise RuntimeError("the fake model has been released")
        return Demand(
            self.shape,
            self._trace,
            traits,
            program_bytes=self.program_bytes,
            mapped_bytes=self.mapped_bytes,
            loading_bytes=self.loading_bytes,
        )

    def traced_tokens(self, least: int, most: int, room: int, *, recomputes: bool) -> int | None:
        """Return the largest step from `least` to `most` tokens that is known to fit into `room` bytes, without tracing."""
        points = self._points[recomputes].items()
        return max((n for n, size in points if least <= n <= most and size <= room), default=None)

    def curve(self, most: int, *, recomputes: bool) -> Curve:
        """Return the curve through three traced points up to `most` tokens."""
        if recomputes not in self._curves:
            points = {
                tokens: self.step_bytes(tokens, recomputes=recomputes)
                for tokens in {max(1, most // 4), max(1, most // 2), most}
            }
            self._curves[recomputes] = Curve.through(points)
        return self._curves[recomputes]

    def known_curve(self, *, recomputes: bool) -> Curve | None:
        """Return the curve if it has been traced."""
        return self._curves.get(recomputes)

    def known_step_bytes(self, token_budget: int, *, recomputes: bool) -> int | None:
        """Return the bytes of the fullest step under a budget without tracing; None if they are not known."""
        tokens = self.shape.filled(token_budget, packs=self.packs)
        curve = self.known_curve(recomputes=recomputes)
        otherwise = None if curve is None else curve.at(tokens)
        return self._points[recomputes].get(tokens, otherwise)

    def peak_bytes(self, token_budget: int, *, recomputes: bool) -> int | None:
        """Return the predicted peak of a run in bytes; None if nothing suitable was traced."""
        step = self.known_step_bytes(token_budget, recomputes=recomputes)
        return None if step is None else self.whole_bytes(step)

    def whole_bytes(self, step: int) -> int:
        """Return the peak in bytes of a run with this step: while loading or while training, whichever is higher."""
        training = self.program_bytes + self.resident_bytes + int(step * self.growth)
        return max(self.loading_bytes, training)

    def release(self) -> None:
        """Release the fake model."""
        self._trace = None
