"""The boot-time clock; the supervisor measures attempts with no other.

It never jumps, and it includes time during which the host was suspended.
"""

import time


def boottime() -> float:
    """Return seconds since boot, including time suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
