"""Prevents other processes of the same user from reading this process's environment, memory and open files.

The training program runs as its worker's user, so the kernel would let it read `/proc/PARENT/environ`, which contains the
worker's tokens. A process that is not dumpable can be inspected only with CAP_SYS_PTRACE, which ordinary users do not
have. A forked process inherits this; after an exec, the new program must call keep_private again. Linux only.
"""

import sys
from collections.abc import Mapping

from processes.prctl import Option, prctl

ALLOW_TRACING = "STEPLINE_ALLOW_TRACING"
"""If this variable is `true`, debuggers and the training program can attach to Stepline's processes."""


def keep_private(environ: Mapping[str, str]) -> None:
    """Prevent other processes of the same user from inspecting this one, unless the environment allows tracing."""
    if sys.platform != "linux" or environ.get(ALLOW_TRACING, "").lower() in {"1", "true", "yes"}:
        return
    prctl(Option.PR_SET_DUMPABLE, 0)
