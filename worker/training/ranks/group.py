"""Group: the operations in which all ranks take part. With one rank, they do nothing.

Every rank must call them in the same order. A rank that fails before one of them ends the run (see others.py).
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, distributed

from contracts.failure import FailureReason
from contracts.run.run_dir import RunDir
from worker.training.compute.cuda_errors import is_device_failure, is_out_of_memory
from worker.training.data.arrays import Sample
from worker.training.errors import TrainingError
from worker.training.ranks.others import BLAME_SECONDS, Others, store_path
from worker.training.ranks.shares import divide
from worker.training.ranks.signs import Signs

_FOREVER = timedelta(days=365)
"""In practice unlimited: the watchdog ends a run that hangs, and it detects which rank the others are waiting for."""
_ORPHAN_SECONDS = 60.0
"""Time after which a rank reports a failed operation itself. Normally, rank 0 kills the rank before that."""


@dataclass(frozen=True)
class Group:
    """The ranks of a run, from the point of view of one of them."""

    rank: int = 0
    count: int = 1
    signs: Signs = field(default_factory=Signs)
    others: Others = field(default_factory=Others)
    """On rank 0, the other ranks."""

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, the only one that records and saves."""
        return self.rank == 0

    def connect(self, job: RunDir, device: torch.device) -> None:
        """Wait until all ranks of the run have joined. They connect over the loopback interface only."""
        if self.count == 1:
            return
        # "=": exactly this interface. No network plugin: all ranks are on this host.
        os.environ.update(GLOO_SOCKET_IFNAME="lo", NCCL_SOCKET_IFNAME="=lo", NCCL_NET="Socket")
        is_cuda = device.type == "cuda"
        self.together(
            lambda: distributed.init_process_group(
                "cpu:gloo,cuda:nccl" if is_cuda else "gloo",
                store=distributed.FileStore(str(store_path(job)), self.count),  # type: ignore[attr-defined]  # not declared, but public
                rank=self.rank,
                world_size=self.count,
                timeout=_FOREVER,
                device_id=device if is_cuda else None,
            )
        )

    def share(self, samples: Sequence[Sample]) -> list[int]:
        """Return the indexes of the samples that this rank computes."""
        if self.count == 1:
            return list(range(len(samples)))
        return divide(samples, self.count)[self.rank]

    def sum_update(self, gradients: Sequence[Tensor], sums: Tensor, tokens: int) -> None:
        """Add up the gradients and the `sums` [2] (NLL, correctly predicted tokens) of all ranks, in place.

        `tokens` is the number of supervised tokens of the whole window. All ranks must agree on it, because each divides by it.
        """
        if self.count == 1:
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        both = torch.cat([sums, sums.new_full((1,), tokens)])
        totals: list[float] = []
        if flat.is_cuda:
            # Raise errors of this rank's own work here; otherwise another rank might be blamed for them.
            torch.cuda.synchronize(flat.device)

        def reduce() -> None:
            distributed.all_reduce(flat)
            distributed.all_reduce(both)
            # Wait for the device here: if a rank hangs, the others must count as waiting for it.
            totals.extend(both.tolist())

        self.together(reduce)
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        sums.copy_(both[:-1])
        if int(totals[-1]) != tokens * self.count:
            raise self._differ("windows")

    def warm_up(self, parameters: Sequence[Tensor]) -> None:
        """Sum gradients of this size once, to allocate the required memory, including NCCL's own."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.count > 1 and gradients:
            nothing = torch.zeros(2, dtype=torch.float64, device=gradients[0].device)
            self.sum_update(gradients, nothing, 0)

    def sum(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the sums of the ranks' values."""
        return self._reduced(values, distributed.ReduceOp.SUM)

    def largest(self, value: float) -> float:
        """Return the largest of the ranks' values."""
        return float(self._reduced(np.array([value]), distributed.ReduceOp.MAX)[0])

    def copy_from_main(self, tensors: Sequence[Tensor]) -> None:
        """Replace the tensors with those of rank 0, in place."""
        if self.count == 1:
            return
        with torch.no_grad():
            for tensor in tensors:
                self.together(partial(distributed.broadcast, tensor, src=0))

    def check_equal(self, name: str, value: Callable[[], int], step: int | None = None) -> None:
        """Raise TrainingError unless `value` is the same on all ranks; only its lowest 52 bits are compared."""
        if self.count == 1:
            return
        low = float(value() & (2**52 - 1))
        if self.largest(low) != -self.largest(-low):
            raise self._differ(name, step)

    def _reduced(
        self, values: npt.NDArray[np.float64], operation: distributed.ReduceOp.RedOpType
    ) -> npt.NDArray[np.float64]:
        if self.count == 1:
            return values
        tensor = torch.from_numpy(values.copy())
        self.together(lambda: distributed.all_reduce(tensor, op=operation))
        return tensor.numpy()

    def together(self, operation: Callable[[], object]) -> None:
        """Run an operation that waits for all ranks. If another rank has ended, raise its failure."""
        self.signs.meet()
        try:
            operation()
        except RuntimeError as error:
            self._blame(error)
            raise
        self.signs.beat()

    def _differ(self, name: str, step: int | None = None) -> TrainingError:
        return TrainingError(
            FailureReason.CRASHED,
            f"the {self.count} ranks of this run have different {name}",
            step=step,
            evidence={"ranks": self.count},
        )

    def _blame(self, error: RuntimeError) -> None:
        """If a rank has ended, raise its failure, because that is why the operation failed."""
        if is_device_failure(error) or is_out_of_memory(error):
            return  # this rank's own
        if not self.is_main:
            # Another rank has ended. Rank 0 reports it and ends this process.
            time.sleep(_ORPHAN_SECONDS)
            return
        failure = self.others.wait_for_failure(BLAME_SECONDS)
        if failure is not None:
            raise TrainingError(
                failure.reason, failure.detail, step=failure.step, evidence=failure.evidence
            ) from error


ALONE = Group()
"""The group of a run with one rank."""
