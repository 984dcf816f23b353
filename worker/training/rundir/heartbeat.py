"""Heartbeat: a thread that touches the `heartbeat` file, so that the supervisor sees whether threads of this process can run.

The watchdog is such a thread too. It detects that the training thread hangs, but not that the whole process is stopped or that
native code does not release the interpreter lock; the supervisor ends a process without heartbeats
(worker/supervisor/child/silence.py).
"""

import contextlib
import threading
from pathlib import Path

HEARTBEAT_SECONDS = 5.0


def start_heartbeat(path: Path, seconds: float = HEARTBEAT_SECONDS) -> threading.Event:
    """Touch the file from now until this process ends, in every phase, or until the returned event is set."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError):  # the disk may be full; the records show that too
                path.touch()
            ended.wait(seconds)

    threading.Thread(target=beat, name="heartbeat", daemon=True).start()
    return ended
