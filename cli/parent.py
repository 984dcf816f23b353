"""Runs a program that must not outlive its parent: `python -m cli.parent PARENT_PID PROGRAM ARGUMENT…`.

The parent-death signal survives the exec, so the program needs no code for it. Linux only.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Ask the kernel to send SIGKILL when the parent dies, then exec the program."""
    parent_pid, program = int(arguments[0]), arguments[1:]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:  # the parent died before the call
        sys.exit(1)
    os.execv(program[0], program)  # noqa: S606  # no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
