"""Keeps other processes of the same user from looking into this one: its environment, its memory, its open files.

The training program runs as its worker's user, so that the kernel would let it read `/proc/PARENT/environ` with the
worker's tokens in it. A process that is not dumpable is out of reach of all who lack CAP_SYS_PTRACE: that is of every
ordinary user, and not of root. A forked process stays so; one that runs another program has to ask again. Linux only.
"""

import sys
from collections.abc import Mapping

from processes.prctl import Option, prctl

ALLOW_TRACING = "STEPLINE_ALLOW_TRACING"
"""Variable that is set to `true` to let debuggers at Stepline's processes, and the training program with them."""


def keep_private(environ: Mapping[str, str]) -> None:
    """Make this process unreadable to others of its user, unless its environment allows tracing."""
    if sys.platform != "linux" or environ.get(ALLOW_TRACING, "").lower() in {"1", "true", "yes"}:
        return
    prctl(Option.PR_SET_DUMPABLE, 0)
