"""Runs a program that must not outlive its parent: `python -m cli.parent PARENT_PID PROGRAM ARGUMENT…`.

The parent-death signal survives the exec, so the program needs no code for it. Linux only.
"""

import os
import sys

from processes.parent import die_with_parent


def main(arguments: list[str]) -> None:
    """Ask the kernel to send SIGKILL when the parent dies, then exec the program."""
    parent_pid, program = int(arguments[0]), arguments[1:]
    die_with_parent(parent_pid)
    os.execv(program[0], program)  # noqa: S606  # runs without a shell


if __name__ == "__main__":
    main(sys.argv[1:])
