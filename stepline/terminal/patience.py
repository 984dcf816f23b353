"""Repeats a request while the server does not answer, for commands that run until the user ends them."""

import time
from collections.abc import Callable
from typing import TypeVar

from stepline.client.errors import ServerUnreachable, Unavailable

T = TypeVar("T")

PATIENCE_SECONDS = 600.0
PAUSE_SECONDS = 2.0


def read_patiently(
    read: Callable[[], T],
    show_connection: Callable[[bool], object],
    *,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Return the result of `read`. Call `show_connection` with False when the connection is lost, and with True when it is restored.

    Raises ServerUnreachable or Unavailable if the server has not answered for PATIENCE_SECONDS.
    """
    deadline = clock() + PATIENCE_SECONDS
    was_lost = False
    while True:
        try:
            found = read()
        except (ServerUnreachable, Unavailable):
            if clock() > deadline:
                raise
            if not was_lost:
                show_connection(False)
            was_lost = True
            sleep(PAUSE_SECONDS)
        else:
            if was_lost:
                show_connection(True)
            return found
