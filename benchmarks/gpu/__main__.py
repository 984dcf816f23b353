"""Measures the training engine on this host's GPU.

    python -m benchmarks.gpu --quick         # about ten minutes at most: the 0.5B shape, the main settings
    python -m benchmarks.gpu                 # 0.5B, 1.5B and 7B with every switch; continues where an earlier run stopped

It checks the device, trains models with Qwen2's shapes and random weights, and runs the tests that need a GPU. Each
model is trained with one engine switch changed at a time, and with transformers' Trainer on the same rows. Measurements
that do not fit in the GPU's memory are listed and skipped. All measurements of a model run on the same card, one
after the other. The last line is JSON.

Unsloth and LLaMA-Factory train the same rows too, if this interpreter, or the one that an option names, has them.
This process never imports torch: a context on the GPU would take memory from the programs that it measures.
"""

import argparse
import hashlib
import importlib.util
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from benchmarks.engine.peers import (
    OPTIONAL,
    PeerNotFoundError,
    add_options,
    find_interpreter,
    given,
)
from benchmarks.gpu.cells import (
    PEERS,
    SETTINGS,
    Bench,
    Cell,
    Result,
    Results,
    cells,
    measure,
)
from benchmarks.gpu.report import table
from benchmarks.gpu.shapes import SHAPES, make_rows
from benchmarks.peers.device import find_device

STATE = Path.home() / ".cache" / "stepline" / "gpu-benchmark"
QUICK_SETTINGS = ("auto", *PEERS, "compile")
QUICK_SECONDS = 480.0
"""A quick run stops its measurements after this time."""
TEST_SECONDS = 90.0
"""A quick run stops the tests after this time."""
GPU_TESTS = "tests/worker/supervisor/host"
"""The directory of the tests that need a GPU."""


def main() -> int:
    """Run the missing measurements, write the table, and return the exit status."""
    options = arguments()
    if not find_device().is_gpu and not options.allow_cpu:
        print(
            "torch cannot use a GPU; see docs/gpu.md. To try the benchmark without one, use --allow-cpu",
            file=sys.stderr,
        )
        return 1
    if subprocess.run(
        [sys.executable, "-m", "worker.training", "--check-device"], check=False
    ).returncode:
        return 1
    began = time.monotonic()
    ends_at = began + QUICK_SECONDS if options.quick else math.inf
    measured = f"{options.updates}-updates-{code()}"
    results = Results(options.state / slug(machine()) / measured)
    data = make_rows(options.state / "rows.jsonl")
    bench = Bench(options.state, data, options.updates, given(options))
    versions, missing = find_peers(bench)
    settings = [name for name in options.settings if name not in missing]
    found: dict[Cell, Result] = {}
    for cell in cells(options.shapes, settings, options.gpus):
        result = results.find(cell, versions.get(cell.setting, ""))
        if result is None and time.monotonic() > ends_at:
            print(f"{cell.name}: skipped, because the time limit was reached", flush=True)
            continue
        if result is None:
            print(f"{cell.name}: running", flush=True)
            result = measure(cell, bench, ends_at)
            results.keep(cell, result)
        found[cell] = result
    unavailable = {name: missing[name] for name in options.settings if name in missing}
    tests = "not run" if options.no_tests else run_tests(TEST_SECONDS if options.quick else None)
    text = table(f"{machine()}. Tests that need a GPU: {tests}.", found, unavailable)
    options.output.write_text(text)
    print(text)
    print(json.dumps({cell.name: asdict(result) for cell, result in found.items()}))
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="only the 0.5B shape and the main settings"
    )
    parser.add_argument(
        "--shapes", type=_names(SHAPES), default=None, help=f"of {', '.join(SHAPES)}"
    )
    parser.add_argument("--settings", type=_names([*SETTINGS, *PEERS]), default=None)
    parser.add_argument(
        "--updates",
        type=int,
        default=8,
        help="measured optimizer updates, after two warm-up updates",
    )
    parser.add_argument(
        "--gpus",
        type=int,
        default=None,
        help="also measure training on this number of GPUs; default: all",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("gpu.md"), help="where to write the table"
    )
    parser.add_argument("--state", type=Path, default=STATE, help="directory of models and results")
    parser.add_argument(
        "--allow-cpu", action="store_true", help="run without a GPU, to try the benchmark"
    )
    parser.add_argument(
        "--no-tests", action="store_true", help="do not run the tests that need a GPU"
    )
    add_options(parser)
    options = parser.parse_args()
    if options.gpus is None:
        options.gpus = find_device().gpus
    options.shapes = options.shapes or (["0.5B"] if options.quick else ["0.5B", "1.5B", "7B"])
    everything = ["auto", *PEERS, *(name for name in SETTINGS if name != "auto")]
    options.settings = options.settings or (list(QUICK_SETTINGS) if options.quick else everything)
    return options


def machine() -> str:
    """Return the device's name and the versions on which the figures depend."""
    found = find_device()
    device = found.name
    if found.is_gpu:
        device += f", compute capability {found.capability}, {found.memory_bytes / 2**30:.0f} GiB, CUDA {found.cuda}"
    versions = ", ".join(
        f"{name} {metadata.version(name)}"
        for name in ("torch", "bitsandbytes", "transformers", "stepline")
    )
    return f"{device}; {versions}"


def find_peers(bench: Bench) -> tuple[dict[str, str], dict[str, str]]:
    """Return the versions of the optional peers that are installed, and why the others are missing, by name."""
    versions, missing = {}, {}
    for name, peer in PEERS.items():
        if peer in OPTIONAL:
            try:
                versions[name] = find_interpreter(peer, bench.interpreters).versions
            except PeerNotFoundError as error:
                missing[name] = str(error)
    return versions, missing


def slug(text: str) -> str:
    """Convert a string to a directory name and return it."""
    return "".join(
        character if character.isalnum() or character in ".-" else "-" for character in text
    )


def code() -> str:
    """Return a hash of the training engine's code, so that figures of another version are not used again."""
    digest = hashlib.sha256()
    for package in ("contracts", "worker.training"):
        found = importlib.util.find_spec(package)
        for folder in (found.submodule_search_locations or []) if found else []:
            for path in sorted(Path(folder).rglob("*.py")):
                digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def run_tests(limit_seconds: float | None) -> str:
    """Run the tests that need a GPU; return pytest's last line."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*command, GPU_TESTS],
            capture_output=True,
            text=True,
            check=False,
            timeout=limit_seconds,
        )
    except subprocess.TimeoutExpired:
        return f"stopped after {limit_seconds:.0f} seconds"
    return done.stdout.strip().rpartition("\n")[2].strip("= ") or f"exit status {done.returncode}"


def _names(known: Collection[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
        return names

    return parse


if __name__ == "__main__":
    sys.exit(main())
