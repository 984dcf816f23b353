"""Determines from the host's processors and free memory how many processes may render rows at the same time."""

import os

from contracts.job import JobSpec
from contracts.run.run_dir import Placed, RunDir
from worker.training.data.tokenization.helpers import HELPER_BYTES, Helpers
from worker.training.memory.host import free_host_bytes

LEAST, MOST = 3, 8
"""Two helpers are not faster than the training program alone, because the tokenizer's own threads already use both processors."""
SHARE = 0.25
"""Share of the free memory that they may use."""


def plan_helpers(run_dir: RunDir, spec: JobSpec, placed: Placed) -> Helpers | None:
    """Return the helpers for a run; None if it prepares its rows alone."""
    # With a cache, one rank prepares the rows for all of them.
    ranks = 1 if placed.token_cache is not None else placed.ranks
    count = count_helpers(len(os.sched_getaffinity(0)) // ranks, free_host_bytes() // ranks)
    if count == 0:
        return None
    return Helpers(count, run_dir.model, placed.submitted_at, spec.training.max_length)


def count_helpers(processors: int, free_bytes: int) -> int:
    """Return one helper for each processor, or as many as fit into memory; 0 if too few would be left."""
    count = min(MOST, processors, int(SHARE * free_bytes) // HELPER_BYTES)
    return count if count >= LEAST else 0
