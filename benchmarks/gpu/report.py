"""The Markdown table of the results."""

import math
from collections.abc import Mapping, Sequence

from benchmarks.gpu.cells import PEERS, TRAINER, Cell, Result

HEADER = (
    "| model | setting | GPUs | tokens/s | × Trainer | peak GB | predicted GB | FLOPs utilisation | share of roofline | largest "
    "loss difference | notes |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def table(
    machine: str, results: Mapping[Cell, Result], missing: Mapping[str, str] | None = None
) -> str:
    """Return the results as Markdown, below a description of the machine and above the reasons why peers are missing.

    The column of loss differences compares a cell's losses with those of `auto` on one GPU, on the same rows. The last column
    names the settings that a peer did not follow.
    """
    lines = [machine, "", HEADER]
    lines += [_row(cell, result, results) for cell, result in results.items()]
    versions = {cell.setting: each.versions for cell, each in results.items() if each.versions}
    notes = [f"- {name} ran with {text}." for name, text in versions.items() if name in PEERS]
    notes += [f"- {name}: {reason}." for name, reason in (missing or {}).items()]
    lines += ["", *notes] if notes else []
    return "\n".join(lines) + "\n"


def _row(cell: Cell, result: Result, results: Mapping[Cell, Result]) -> str:
    start = f"| {cell.shape} | {cell.setting} | {cell.gpus} |"
    if result.failure is not None:
        return f"{start} {_text(result.failure)} | | | | | | | |"
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
        _text(result.notes),
    )
    return f"{start} {' | '.join(cells)} |"


def _text(text: str) -> str:
    return text.replace("|", r"\|")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _difference(found: Sequence[float], expected: Sequence[float]) -> float:
    return max((abs(a - b) for a, b in zip(found, expected, strict=False)), default=0.0)
