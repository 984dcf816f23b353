"""Ends a process when its parent ends. Linux only."""

import os
import signal

from processes.prctl import Option, prctl


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when the thread that started it ends; this setting survives an exec."""
    prctl(Option.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # the parent ended before the call
        os.kill(os.getpid(), signal.SIGKILL)
