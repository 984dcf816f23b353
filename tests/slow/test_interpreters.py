"""Runs the interpreter-dependent tests on every other supported Python version that is installed.

For each version, the test creates an environment without torch, with the package versions from constraints.txt. This takes a
minute and 450 MB; the environment stays in the temporary directory for the next run.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TESTS = (
    "tests/contracts",
    "tests/attacks/test_datasets.py",
    "tests/app/datasets/test_datasets.py",
    "tests/app/errors",
    "tests/app/jobs/test_jobs.py",
)
SUPPORTED = ("3.11", "3.12", "3.13")


def find_others() -> list[str]:
    """Return the paths of the other supported interpreters, found on PATH or beside this one, where pyenv installs them."""
    current = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = []
    for version in SUPPORTED:
        beside = Path(sys.base_prefix).parent.glob(f"{version}.*/bin/python{version}")
        names = [shutil.which(f"python{version}"), *map(str, sorted(beside))]
        working = next((name for name in names if name and _runs(name)), None)
        if version != current and working is not None:
            found.append(working)
    return found


def _runs(python: str) -> bool:
    # pyenv provides a command for every installed version, but the command fails if its version is not selected.
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def make_environment(python: str) -> str:
    """Create an environment with the server and the packages that its tests need, if there is none; return its interpreter."""
    inputs = b"".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    key = hashlib.sha256(inputs + f"{python} {ROOT}".encode()).hexdigest()[:12]
    home = Path(tempfile.gettempdir()) / f"stepline-interpreters-{os.geteuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    directory = home / key
    own = str(directory / "bin" / "python")
    if not (directory / "installed").exists():
        shutil.rmtree(directory, ignore_errors=True)
        subprocess.run([python, "-m", "venv", str(directory)], check=True)
        install = ["-m", "pip", "install", "--quiet", "-c", "constraints.txt"]
        subprocess.run([own, *install, "-e", ".[server,dev]"], cwd=ROOT, check=True)
        (directory / "installed").touch()
    return own


OTHERS = find_others()

if OTHERS:  # otherwise there is nothing to collect

    @pytest.mark.parametrize("python", OTHERS, ids=lambda path: Path(path).name)
    def test_interpreter_dependent_tests_pass_on_every_other_supported_python(python: str) -> None:
        without = ["-k", "not postgresql", "-q", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [make_environment(python), "-m", "pytest", *TESTS, *without],
            cwd=ROOT,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
        assert " passed" in done.stdout
