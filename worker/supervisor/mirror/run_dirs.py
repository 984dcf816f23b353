"""The directories that W&B's library writes, one for each run of an attempt: which ones are deleted, and when.

Only directories below the worker's own directory are deleted, not those in a `WANDB_DIR` of the operator.
"""

import shutil
import time
from pathlib import Path

KEPT_SECONDS = 30 * 86_400.0
"""How long runs are kept after their last change. W&B's library does not report whether it has sent everything."""
_PATTERNS = ("run-*", "offline-run-*")


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
