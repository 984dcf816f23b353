"""The demo's port. script/demo runs this file before the installation, so it needs only Python's standard library."""

import argparse
import contextlib
import os
import socket
import sys
from typing import Optional

from examples.demo.language import choose_language, say


def find_port(port: Optional[int]) -> Optional[int]:  # noqa: UP045  # also runs on older Pythons
    """Return the given port, else 8000 if it is free, else any free one; None if the given port cannot be used."""
    for wanted in (8000, 0) if port is None else (port,):
        with socket.socket() as probe, contextlib.suppress(OSError, OverflowError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", wanted))
            chosen: int = probe.getsockname()[1]
            return chosen
    return None


def main() -> None:
    """Exit with a message if the port in the demo's arguments cannot be used."""
    parser = argparse.ArgumentParser(prog="script/demo", add_help=False)
    parser.add_argument("--port", type=int)
    port = parser.parse_known_args()[0].port
    if find_port(port) is None:
        sys.exit(say(choose_language(os.environ), "port_in_use", port=port))


if __name__ == "__main__":
    main()
