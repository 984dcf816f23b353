"""Manages the server process: raises its open file limit and returns freed memory to the system."""

import contextlib
import ctypes
import gc
import resource
from pathlib import Path

FILES = 65_536
"""Requested limit on open files. Each connection uses one file descriptor; the default limit is often 1,024."""

_STATM = Path("/proc/self/statm")


def raise_file_limit() -> None:
    """Raise the soft limit on open files, up to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < target:
        with contextlib.suppress(ValueError, OSError):  # macOS also has a lower limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))


def return_memory(above_bytes: int) -> int:
    """Return freed memory to the system if the process uses more than `above_bytes`. Return the bytes used afterwards.

    After many concurrent connections, glibc keeps most of their memory because of fragmentation. A garbage collection
    briefly stops all threads, so it runs only if needed. On systems other than Linux, do nothing and return 0.
    """
    if not _STATM.exists():
        return 0
    if _resident_bytes() > above_bytes:
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:  # specific to glibc
            trim(0)
    return _resident_bytes()


def _resident_bytes() -> int:
    return int(_STATM.read_text().split()[1]) * resource.getpagesize()
