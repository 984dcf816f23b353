"""Ports for servers that a test starts."""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import IO

RANGE = range(20_000, 32_000)
"""Below the ports that the kernel gives to outgoing connections, which would take a free one before its server starts."""
_held: list[IO[bytes]] = []


def find_free_port() -> int:
    """Return a port of this machine that nobody listens on, and that no other test process on it is given."""
    locks = Path(tempfile.gettempdir()) / f"stepline-test-ports-{os.geteuid()}"
    locks.mkdir(exist_ok=True)
    while True:
        port = random.choice(RANGE)  # noqa: S311  # no secret
        lock = (locks / str(port)).open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        _held.append(lock)  # until this process ends
        return port
