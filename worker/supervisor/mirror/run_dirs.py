"""The directories that W&B's library writes, one for each run of an attempt: which ones are deleted, and when.

Only directories below the worker's own directory are deleted, not those in a `WANDB_DIR` of the operator.
"""

import shutil
import time
from pathlib import Path

KEPT_SECONDS = 30 * 86_400.0
"""How long offline runs, and runs that were not sent completely, are kept after their last change."""
_PATTERNS = ("run-*", "offline-run-*")


def remove_sent(own: Path, run: Path) -> None:
    """Delete the directory of a run that W&B has received completely."""
    if own.resolve() in run.resolve().parents:
        shutil.rmtree(run, ignore_errors=True)


def remove_old(own: Path, kept_seconds: float = KEPT_SECONDS) -> None:
    """Delete the directories of runs that have not changed for this long."""
    oldest = time.time() - kept_seconds
    for pattern in _PATTERNS:
        for run in (own / "wandb").glob(pattern):
            if not run.is_symlink() and _last_change(run) < oldest:
                shutil.rmtree(run, ignore_errors=True)


def _last_change(run: Path) -> float:
    """Return the time of the newest entry, in seconds since 1970; now if an entry disappears meanwhile."""
    try:
        return max(entry.lstat().st_mtime for entry in (run, *run.rglob("*")))
    except OSError:
        return time.time()
