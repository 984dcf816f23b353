"""Sets options of this process with prctl(2). Linux only."""

import ctypes
from enum import IntEnum


class Option(IntEnum):
    """Options of prctl(2), as named and numbered in <linux/prctl.h>."""

    PR_SET_PDEATHSIG = 1
    PR_SET_DUMPABLE = 4


def prctl(option: Option, value: int) -> None:
    """Set an option of this process. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).prctl(option.value, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl({option.name})")
