"""Ports for servers that a test starts."""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

RANGE = range(20_000, 32_000)
"""Below the kernel's ephemeral range, so that no outgoing connection takes a port before the test's server binds it."""


def find_free_port() -> int:
    """Return a free port on this machine and reserve it for this process, so that no other test process gets it."""
    locks = Path(tempfile.gettempdir()) / f"stepline-test-ports-{os.geteuid()}"
    locks.mkdir(exist_ok=True)
    while True:
        port = random.choice(RANGE)  # noqa: S311  # not a secret
        lock = os.open(locks / str(port), os.O_RDWR | os.O_CREAT)  # held until this process ends
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(lock)
            continue
        return port
