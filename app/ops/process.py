"""The server's process: its limit of open files, and the return of freed memory to the system."""

import contextlib
import ctypes
import gc
import resource
from pathlib import Path

FILES = 65_536
"""Open files to ask for. Each connection is one; many systems start a process with 1,024."""

_STATM = Path("/proc/self/statm")


def raise_file_limit() -> None:
    """Raise the soft limit of open files towards the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # macOS has a limit beyond the hard one
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def return_memory(above_bytes: int) -> int:
    """Give freed memory back to the system if the process holds more than `above_bytes`; return the bytes held after it.

    After many connections at once glibc keeps most of their memory, scattered between what is still in use. Collecting
    garbage stops all threads for a moment, so it runs only if needed. Does nothing and returns 0
    outside Linux.
    """
    if not _STATM.exists():
        return 0
    if _resident_bytes() > above_bytes:
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:  # glibc's
            trim(0)
    return _resident_bytes()


def _resident_bytes() -> int:
    return int(_STATM.read_text().split()[1]) * resource.getpagesize()
