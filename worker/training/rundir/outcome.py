"""outcome.json: how the run ended. It is written last, even on a disk that is full."""

import os
import shutil

from contracts.attempt import Outcome
from contracts.run_dir import RunDir, write_model
from worker.training.errors import DETAIL_CHARACTERS


def reserve_room(run_dir: RunDir) -> None:
    """Set disk space aside for the outcome."""
    with run_dir.reserve.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 4 * DETAIL_CHARACTERS)


def write_outcome(run_dir: RunDir, outcome: Outcome) -> None:
    """Write the outcome into the space set aside for it, or into that of files that are only half written."""
    run_dir.reserve.unlink(missing_ok=True)
    try:
        write_model(run_dir.outcome, outcome)
    except OSError:
        # A full disk: what is only half written makes room for the few bytes that say so.
        for aside in (*run_dir.path.glob("*.tmp"), *run_dir.checkpoints.glob("*.tmp")):
            shutil.rmtree(aside, ignore_errors=True)
        write_model(run_dir.outcome, outcome)
