"""The peers that the engine can be compared with, and the Python interpreters that run them."""

import argparse
import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.engine.processes import peers_python

PROGRAMS: Mapping[str, str] = {
    "trainer": "benchmarks.peers.trainer",
    "trl": "benchmarks.peers.trainer",
    "unsloth": "benchmarks.peers.unsloth",
    "llamafactory": "benchmarks.peers.llamafactory",
}
"""The module that runs each peer, as `python -m MODULE PEER PLAN.json RESULT.json`."""
OPTIONAL = ("unsloth", "llamafactory")
"""Peers, named like their packages, that need other versions of transformers than Stepline and are used only where they are installed."""
_PACKAGES = ("torch", "transformers", "peft", "trl", "bitsandbytes")
"""Packages on which the figures of an optional peer depend, besides its own."""
_PROBE = """
import importlib.util, json, sys
from importlib import metadata
if importlib.util.find_spec(sys.argv[1]) is None:
    sys.exit(3)
versions = {}
for name in sys.argv[1:]:
    try:
        versions[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(versions))
"""
_MISSING = 3


class PeerNotFoundError(Exception):
    """A peer is not installed; the message says where it was looked for, in one line."""


@dataclass(frozen=True)
class Interpreter:
    """The Python interpreter that runs a peer."""

    python: str
    versions: str = ""
    """The versions of an optional peer and its libraries, for the report."""


Interpreters = Mapping[str, Path | None]
"""The interpreter that the user gave for each optional peer; None means this one."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for the interpreter of each optional peer."""
    for peer in OPTIONAL:
        parser.add_argument(
            f"--{peer}-python",
            type=Path,
            help=f"Python interpreter that has {peer}; default: this one",
        )


def given(options: argparse.Namespace) -> dict[str, Path | None]:
    """Return the values of these options."""
    return {peer: getattr(options, f"{peer}_python") for peer in OPTIONAL}


def find_interpreter(peer: str, interpreters: Interpreters) -> Interpreter:
    """Return the interpreter of a peer. Raises PeerNotFoundError if the interpreter or the peer's package is missing."""
    if peer == "trl":
        return Interpreter(str(peers_python()))
    if peer not in OPTIONAL:
        return Interpreter(sys.executable)
    python = interpreters.get(peer)
    if python is None:
        if importlib.util.find_spec(peer) is None:
            raise PeerNotFoundError(f"not installed; see --{peer}-python")
        python = Path(sys.executable)
    try:
        command = [str(python), "-c", _PROBE, peer, *_PACKAGES]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise PeerNotFoundError(f"{python} cannot be run: {error.strerror}") from error
    if found.returncode == _MISSING:
        raise PeerNotFoundError(f"not installed in {python}")
    if found.returncode:
        raise PeerNotFoundError(f"{python} failed: {last_line(found.stderr)}")
    versions: dict[str, str] = json.loads(found.stdout)
    return Interpreter(
        str(python), ", ".join(f"{name} {version}" for name, version in versions.items())
    )


def last_line(output: str) -> str:
    """Return the last line of a program's output, at most 200 characters: a Python program ends with its error."""
    lines = [line for line in output.splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else "no output"
