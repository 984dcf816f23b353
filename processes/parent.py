"""A process that must not outlive the one that started it. Linux only."""

import os
import signal

from processes.prctl import Option, prctl


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when the thread that started it ends; the signal survives an exec."""
    prctl(Option.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it was gone before we asked
        os.kill(os.getpid(), signal.SIGKILL)
