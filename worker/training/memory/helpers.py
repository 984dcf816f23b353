"""How many processes may render rows at the same time, by the host's processors and free memory."""

import os

from contracts.job import JobSpec
from contracts.run.run_dir import Placed, RunDir
from worker.training.data.helpers import HELPER_BYTES, Helpers
from worker.training.memory.host import free_host_bytes

MOST = 8
SHARE = 0.25
"""Share of the free memory that they may use."""


def plan_helpers(run_dir: RunDir, spec: JobSpec, placed: Placed) -> Helpers | None:
    """Return one helper for each processor of this rank; None if there is one processor, or too little memory."""
    # With a cache, one rank prepares the rows for all of them.
    ranks = 1 if placed.token_cache is not None else placed.ranks
    by_memory = int(SHARE * free_host_bytes()) // HELPER_BYTES
    count = min(MOST, len(os.sched_getaffinity(0)) // ranks, by_memory)
    if count <= 1:
        return None
    return Helpers(count, run_dir.model, placed.submitted_at, spec.training.max_length)
