"""The boot-time clock, the only one that the supervisor measures an attempt by.

It never jumps, and it counts the time that the host was suspended.
"""

import time


def boottime() -> float:
    """Return seconds since boot, suspends included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
