"""outcome.json: how the run ended. It is written last, even on a full disk."""

import contextlib
import os
import shutil

from contracts.attempt import Outcome
from contracts.failure import DETAIL_CHARACTERS
from contracts.run.run_dir import RunDir, write_model


def reserve_room(run_dir: RunDir) -> None:
    """Reserve disk space for the outcome."""
    with run_dir.reserve.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 4 * DETAIL_CHARACTERS)


def write_outcome(run_dir: RunDir, outcome: Outcome) -> None:
    """Write the outcome into its reserved space. If the disk is still full, delete partially written files first."""
    run_dir.reserve.unlink(missing_ok=True)
    try:
        write_model(run_dir.outcome, outcome)
    except OSError:
        # The disk is full: deleting partially written files frees the few bytes for the outcome.
        for partial in (*run_dir.path.glob("*.tmp"), *run_dir.checkpoints.glob("*.tmp")):
            with contextlib.suppress(OSError):
                partial.unlink() if partial.is_file() else shutil.rmtree(partial)
        write_model(run_dir.outcome, outcome)
