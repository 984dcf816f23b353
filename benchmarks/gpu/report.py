"""The Markdown table of the results."""

import math
from collections.abc import Mapping, Sequence

from benchmarks.gpu.cells import TRAINER, Cell, Result

HEADER = (
    "| model | setting | GPUs | tokens/s | × Trainer | peak GB | predicted GB | FLOPs utilisation | share of roofline | largest "
    "loss difference |\n|---|---|---|---|---|---|---|---|---|---|"
)


def table(machine: str, results: Mapping[Cell, Result]) -> str:
    """Return the results as Markdown, below a description of the machine.

    The last column compares a cell's losses with those of `auto` on one GPU, on the same rows.
    """
    lines = [machine, "", HEADER]
    lines += [_row(cell, result, results) for cell, result in results.items()]
    return "\n".join(lines) + "\n"


def _row(cell: Cell, result: Result, results: Mapping[Cell, Result]) -> str:
    start = f"| {cell.shape} | {cell.setting} | {cell.gpus} |"
    if result.failure is not None:
        return f"{start} {result.failure} | | | | | | |"
    trainer = results.get(Cell(cell.shape, TRAINER), Result())
    default = results.get(Cell(cell.shape, "auto"), Result())
    ratio = result.tokens_per_second / (trainer.tokens_per_second or math.inf)
    difference = f"{_difference(result.losses, default.losses):.2g}" if default.losses else ""
    cells = (
        f"{result.tokens_per_second:,.0f}",
        f"{ratio:.2f}" if ratio else "",
        f"{result.peak_bytes / 1e9:.2f}",
        "" if result.predicted_bytes is None else f"{result.predicted_bytes / 1e9:.2f}",
        _percent(result.utilisation),
        _percent(result.roofline),
        difference,
    )
    return f"{start} {' | '.join(cells)} |"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _difference(found: Sequence[float], expected: Sequence[float]) -> float:
    return max((abs(a - b) for a, b in zip(found, expected, strict=False)), default=0.0)
