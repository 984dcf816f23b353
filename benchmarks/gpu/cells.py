"""Measures one setting of the engine, or a peer, on one model, in a separate process; stores the result in a file."""

import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.engine.processes import TOO_LONG
from benchmarks.engine.sides import Run, run_ours, run_peer
from benchmarks.gpu.shapes import make_model
from benchmarks.peers.roofline import tokens_per_second_limit
from contracts.job import JobSpec
from contracts.run.run_dir import RunDir

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
TRAINER = "Trainer"
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


def cells(shapes: Sequence[str], settings: Sequence[str], gpus: int) -> Iterator[Cell]:
    """Return the cells in the order in which they run: for each model the default first, then the peer, then the switches."""
    for shape in shapes:
        for setting in settings:
            yield Cell(shape, setting)
        if gpus > 1:
            yield Cell(shape, "auto", gpus)


def measure(
    cell: Cell, folder: Path, data: Path, updates: int, ends_at: float = math.inf
) -> Result:
    """Run a cell until `ends_at`, a time of the monotonic clock."""
    work = folder / "runs" / cell.name
    shutil.rmtree(work, ignore_errors=True)  # left by a measurement that was stopped
    try:
        model = make_model(cell.shape, folder)
        return _measure(cell, model, work, data, updates, ends_at=ends_at)
    except SystemExit as failed:  # run_ours and run_peer raise it with the end of the output
        return Result(failure=_reason(str(failed), work))
    except (MemoryError, OSError, RuntimeError) as failed:
        return Result(failure=_reason(f"{type(failed).__name__}: {failed}", work))
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # of the measured peak speed; the next program needs the memory
        shutil.rmtree(work, ignore_errors=True)


def _measure(
    cell: Cell, model: Path, work: Path, data: Path, updates: int, *, ends_at: float
) -> Result:
    settings = SETTINGS.get(cell.setting, {})
    spec = make_spec(model, WARM_UP + updates, settings)
    summary, plan, run = run_ours(work, model, data, spec, cell.gpus, ends_at=ends_at)
    if cell.setting == TRAINER:
        plan_path = work / "plan.json"
        plan.save(plan_path)
        RunDir(work).outcome.unlink()  # ours succeeded; it must not explain a failure of the peer
        run = run_peer("trainer", plan, plan_path, work, ends_at=ends_at)
        return Result(None, _speed(run), run.peak_bytes, losses=run.losses)
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
        return str(failure.get("reason", "failed"))
    return "out of memory" if "out of memory" in output.lower() else "failed"


class Results:
    """The results so far, in one file per cell. A new run continues where an earlier one stopped.

    Failures other than out of memory are not kept, so that a new run repeats them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def find(self, cell: Cell) -> Result | None:
        """Return the result of a cell, or None if it has not run."""
        path = self._path(cell)
        return Result(**json.loads(path.read_text())) if path.exists() else None

    def keep(self, cell: Cell, result: Result) -> None:
        """Store the result of a cell, unless a repetition may succeed."""
        if result.failure is not None and result.failure not in OUT_OF_MEMORY:
            return
        temporary = self._path(cell).with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(result)))
        temporary.replace(self._path(cell))

    def _path(self, cell: Cell) -> Path:
        return self._folder / f"{cell.name}.json"
