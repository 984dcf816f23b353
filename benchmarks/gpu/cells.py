"""Measures one setting of the engine, or a peer, on one model, in a separate process; stores the result in a file."""

import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.engine.peers import Interpreters, PeerNotFoundError, find_interpreter, last_line
from benchmarks.engine.processes import TOO_LONG
from benchmarks.engine.sides import Run, run_ours, run_peer
from benchmarks.gpu.shapes import make_model
from benchmarks.peers.roofline import tokens_per_second_limit
from benchmarks.peers.windows import Plan
from contracts.job import JobSpec

SETTINGS: Mapping[str, dict[str, Any]] = {
    "auto": {},
    "compile": {"compile": True},
    "dequantize_base": {"dequantize_base": True},
    "no dequantize_base": {"dequantize_base": False},
    "no fused_optimizer": {"fused_optimizer": False},
    "no fused_lora": {"fused_lora": False},
    "activation_checkpointing": {"activation_checkpointing": True},
    "no activation_checkpointing": {"activation_checkpointing": False},
}
"""Stepline's engine with one switch changed, by name. `auto` may choose the same value."""
OUT_OF_MEMORY = ("out of memory", "oom_gpu", "oom_host")
"""Failures that a repetition would not change."""
FAILED = "failed"
TRAINER = "Trainer"
PEERS: Mapping[str, str] = {
    TRAINER: "trainer",
    "Unsloth": "unsloth",
    "LLaMA-Factory": "llamafactory",
}
"""The peers by the names that the table shows."""
WARM_UP = 2
"""Number of warm-up updates, which compile kernels and fill caches."""


@dataclass(frozen=True)
class Cell:
    """A model, and the setting or peer that trains it."""

    shape: str
    setting: str
    gpus: int = 1

    @property
    def name(self) -> str:
        """The name, which is also a valid file name."""
        return f"{self.shape} {self.setting} {self.gpus}"


@dataclass(frozen=True)
class Result:
    """The measurements of a cell. A failed cell has only `failure`."""

    failure: str | None = None
    tokens_per_second: float = 0.0
    peak_bytes: float = 0.0
    predicted_bytes: float | None = None
    """The peak that the engine predicted; None for a peer."""
    utilisation: float | None = None
    """Share of the device's peak FLOP/s; None if the peak is unknown."""
    roofline: float | None = None
    """Share of the tokens per second that matrix multiplications at their measured peak speed would allow."""
    losses: list[float] = field(default_factory=list)
    notes: str = ""
    """The settings that a peer did not follow."""
    versions: str = ""
    """The versions of an optional peer and its libraries. Figures of other versions are not used again."""


@dataclass(frozen=True)
class Bench:
    """What all measurements use."""

    folder: Path
    """The directory of models and run directories."""
    data: Path
    updates: int
    """Number of measured updates, after the warm-up."""
    interpreters: Interpreters = field(default_factory=dict)
    plans: dict[str, Plan] = field(default_factory=dict)
    """The plans of the models measured so far. A peer uses them, so that the engine does not have to run again."""


def cells(shapes: Sequence[str], settings: Sequence[str], gpus: int) -> Iterator[Cell]:
    """Return the cells in the order in which they run: for each model the default first, then the peer, then the switches."""
    for shape in shapes:
        for setting in settings:
            yield Cell(shape, setting)
        if gpus > 1:
            yield Cell(shape, "auto", gpus)


def measure(cell: Cell, bench: Bench, ends_at: float = math.inf) -> Result:
    """Run a cell until `ends_at`, a time of the monotonic clock."""
    work = bench.folder / "runs" / cell.name
    shutil.rmtree(work, ignore_errors=True)  # left by a measurement that was stopped
    try:
        model = make_model(cell.shape, bench.folder)
        if cell.setting in PEERS:
            return _measure_peer(cell, model, work, bench, ends_at)
        return _measure(cell, model, work, bench, ends_at)
    except SystemExit as failed:  # the child processes' output
        return Result(failure=_reason(str(failed), work))
    except PeerNotFoundError as missing:
        return Result(failure=str(missing))
    except (MemoryError, OSError) as failed:
        return Result(failure=_reason(f"{type(failed).__name__}: {failed}", work))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _measure(cell: Cell, model: Path, work: Path, bench: Bench, ends_at: float) -> Result:
    spec = make_spec(model, WARM_UP + bench.updates, SETTINGS[cell.setting])
    summary, plan, run = run_ours(work, model, bench.data, spec, cell.gpus, ends_at=ends_at)
    bench.plans[cell.shape] = plan
    speed = _speed(run)
    return Result(
        None,
        speed,
        run.peak_bytes,
        predicted_bytes=summary.predicted_memory_bytes,
        utilisation=summary.flops_utilisation,
        roofline=speed / (cell.gpus * tokens_per_second_limit(plan, summary)),
        losses=run.losses,
    )


def _measure_peer(cell: Cell, model: Path, work: Path, bench: Bench, ends_at: float) -> Result:
    peer = PEERS[cell.setting]
    versions = find_interpreter(peer, bench.interpreters).versions
    plan = bench.plans.get(cell.shape)
    if plan is None:
        spec = make_spec(model, WARM_UP + bench.updates, {})
        _, plan, _ = run_ours(work, model, bench.data, spec, ends_at=ends_at)
        bench.plans[cell.shape] = plan
    folder = (
        work / "peer"
    )  # without the engine's outcome, which must not explain a failure of the peer
    folder.mkdir(parents=True)
    try:
        run = run_peer(peer, plan, folder, bench.interpreters, ends_at=ends_at)
    except SystemExit as failed:
        reason = _reason(str(failed), folder)
        if reason == FAILED:
            reason = f"{FAILED}: {last_line(str(failed))}"
        return Result(failure=reason, versions=versions)
    notes = "; ".join(run.differences)
    return Result(
        None, _speed(run), run.peak_bytes, losses=run.losses, notes=notes, versions=versions
    )


def _speed(run: Run) -> float:
    return sum(run.tokens[WARM_UP:]) / sum(run.seconds[WARM_UP:])


def make_spec(model: Path, updates: int, engine: dict[str, Any]) -> JobSpec:
    """Return the reference recipe for a few updates, with one row held out."""
    return JobSpec.model_validate(
        {
            "model": model.name,
            "dataset": {"train": "ds_00000000", "eval_size": 1},
            "quantization": {"double_quant": False},
            "training": {"max_steps": updates},
            "engine": engine,
        }
    )


def _reason(output: str, work: Path) -> str:
    if output == TOO_LONG:
        return output
    outcome = work / "outcome.json"
    if outcome.exists():
        failure = json.loads(outcome.read_text()).get("failure") or {}
        return str(failure.get("reason", FAILED))
    return "out of memory" if "out of memory" in output.lower() else FAILED


class Results:
    """The results so far, in one file per cell. A new run continues where an earlier one stopped.

    Failures other than out of memory are not kept, so that a new run repeats them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def find(self, cell: Cell, versions: str = "") -> Result | None:
        """Return the result of a cell, or None if it has not run with these versions of the peer."""
        path = self._path(cell)
        if not path.exists():
            return None
        result = Result(**json.loads(path.read_text()))
        return result if result.versions == versions else None

    def keep(self, cell: Cell, result: Result) -> None:
        """Store the result of a cell, unless a repetition may succeed."""
        if result.failure is not None and result.failure not in OUT_OF_MEMORY:
            return
        temporary = self._path(cell).with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(result)))
        temporary.replace(self._path(cell))

    def _path(self, cell: Cell) -> Path:
        return self._folder / f"{cell.name}.json"
