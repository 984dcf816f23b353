"""The number of GPUs that a job needs, in the form stored in the queue."""

from typing import NamedTuple

from contracts.job import JobSpec

ALL = 0
"""The stored number of GPUs for a job that uses all GPUs of its host."""


class GpuNeed(NamedTuple):
    """The columns `gpus` and `most_gpus` of a job."""

    gpus: int
    """Number of GPUs on one host, or ALL."""
    most: int
    """Maximum number of GPUs that the job uses. Each needs at least one sample per update."""

    def on_host(self, cards: int) -> int:
        """Return how many GPUs the job uses on a host with the given number of GPUs."""
        return min(self.most, cards) if self.gpus == ALL else self.gpus


def find_need(spec: JobSpec) -> GpuNeed:
    """Return a job's need. A job that can use only one GPU counts as a job for one, even if it requests all."""
    gpus = spec.resources.gpus
    if gpus != "all":
        return GpuNeed(gpus, gpus)
    most = spec.effective_batch_size
    return GpuNeed(1, 1) if most == 1 else GpuNeed(ALL, most)
