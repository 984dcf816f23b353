"""The boot-time clock, the only one that the supervisor uses to time attempts.

It never jumps, and it includes time during which the host was suspended.
"""

import time


def boottime() -> float:
    """Return seconds since boot, including time spent suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
