"""Ends a process when its parent ends. Linux only.

Run as `python -m processes.parent PARENT_PID PROGRAM ARGUMENT…`, this module starts a program that must not outlive its parent.
The parent-death signal survives the exec, so the program does not have to request it.
"""

import os
import signal
import sys

from processes.prctl import Option, prctl


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when the thread that started it ends; this setting survives an exec."""
    prctl(Option.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # the parent ended before the call
        os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: list[str]) -> None:
    """Ask the kernel to send SIGKILL when the parent dies, then exec the program."""
    parent_pid, program = int(arguments[0]), arguments[1:]
    die_with_parent(parent_pid)
    os.execv(program[0], program)  # noqa: S606  # runs without a shell


if __name__ == "__main__":
    main(sys.argv[1:])
