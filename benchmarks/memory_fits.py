"""Prints a Markdown table of what the memory plan fits into GPUs of 12 to 80 GB, for each size of Qwen2.

    python -m benchmarks.memory_fits [--sizes 0.5B,7B] [--cards 12,24]      # needs g++, but no GPU, no weights and no network

The job is the reference recipe: rank 64 on all linear layers, updates of 16 samples of at most 1,024 tokens, half of which are
supervised, bfloat16, NF4. The longest sample is the largest micro-batch of one sample that fits, rounded down to a
multiple of 128, up to the models' limit of 32,768 tokens; it needs no mask. The memory of the driver and CUDA's context
is not available to a job.
"""

import argparse
from dataclasses import dataclass
from typing import Any

from benchmarks import fake_cuda
from benchmarks.fake_cuda.qwen2 import demand_of, prepare
from benchmarks.fake_cuda.qwen2_sizes import POSITIONS, SIZES, Size

GIB = 2**30
CARDS = (12, 16, 24, 48, 80)
"""Nominal sizes in GB, which vendors count as GiB."""
_DRIVER_SHARE, _CONTEXT = 0.03, GIB // 2
"""Assumed memory of the driver and CUDA's context. The actual values depend on the card and the driver."""
_RANK, _SAMPLES, _LENGTH = 64, 16, 1024
_MULTIPLE = 128
_TRACED = (1024, 8192, POSITIONS)


@dataclass(frozen=True)
class Row:
    """The limits for training a model on a card. Lengths and budgets are in tokens; None means that it does not fit."""

    size: str
    card: int
    kept: int | None
    """The longest sample while activations are kept."""
    recomputed: int | None
    """The longest sample with activation checkpointing."""
    varlen: Any
    """The choice for the reference recipe (`memory.fit.Choice`) without a mask."""
    masked: Any
    """The choice for the reference recipe with a mask."""


def main() -> None:
    """Trace the sizes; print the table."""
    options = arguments()
    cards = [int(card) for card in options.cards.split(",")]
    fake_cuda.enable()
    prepare()
    print(HEADING, flush=True)
    for size in options.sizes.split(","):
        for row in rows(size, cards):
            print(line(row), flush=True)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--cards", default=",".join(map(str, CARDS)), help="in GB")
    return parser.parse_args()


def free_bytes(card: int) -> int:
    """Return the memory that a job can use on a card."""
    return int(card * GIB * (1 - _DRIVER_SHARE)) - _CONTEXT


def rows(name: str, cards: list[int]) -> list[Row]:
    """Return the rows of a model."""
    size = SIZES[name]
    longest = {
        recomputes: longest_samples(size, cards, recomputes=recomputes)
        for recomputes in (False, True)
    }
    varlen, masked = (choices(size, cards, masked=masked) for masked in (False, True))
    return [
        Row(name, card, longest[False][card], longest[True][card], varlen[card], masked[card])
        for card in cards
    ]


def longest_samples(size: Size, cards: list[int], *, recomputes: bool) -> dict[int, int | None]:
    """Return the longest sample that fits on each card; None if none of at least 128 tokens does."""
    from worker.training.memory.curve import Curve  # noqa: PLC0415 - after the fake device
    from worker.training.memory.demand import Shape  # noqa: PLC0415
    from worker.training.memory.fit import gpu_room  # noqa: PLC0415

    half = POSITIONS // 2
    shape = Shape(POSITIONS, POSITIONS, 0.5, half, half)
    with demand_of(size, _RANK, shape, masked=False) as demand:
        points = {tokens: demand.step_bytes(tokens, recomputes=recomputes) for tokens in _TRACED}
        curve = Curve.through(points)
        found = {}
        for card in cards:
            room = gpu_room(free_bytes(card)) - demand.resident_bytes
            tokens = curve.largest(room, 0, POSITIONS) // _MULTIPLE * _MULTIPLE
            found[card] = tokens or None
        return found


def choices(size: Size, cards: list[int], *, masked: bool) -> dict[int, Any]:
    """Return the plan's choice for the reference recipe on each card; None if the plan rejects the job."""
    from contracts.job import JobSpec  # noqa: PLC0415 - after the fake device
    from worker.training.errors import TrainingError  # noqa: PLC0415
    from worker.training.memory.demand import Shape  # noqa: PLC0415
    from worker.training.memory.fit import choose_for_gpu, keep_unpacked  # noqa: PLC0415

    window = _SAMPLES * _LENGTH
    shape = Shape(_LENGTH, window, 0.5, _LENGTH // 2, window // 2)
    spec = JobSpec.model_validate({"model": "qwen2", "dataset": {"train": "ds_00000000"}})
    found: dict[int, Any] = {}
    with demand_of(size, _RANK, shape, masked=masked) as demand:
        for card in cards:
            try:
                found[card] = keep_unpacked(demand, choose_for_gpu(demand, spec, free_bytes(card)))
            except TrainingError:
                found[card] = None
    return found


HEADING = """\
| model | GPU | longest sample | with activation checkpointing | token budget, varlen | token budget, mask | base kept in bfloat16 |
|---|---|---|---|---|---|---|"""


def line(row: Row) -> str:
    """Return a row as Markdown."""
    cells = [row.size, f"{row.card} GB", tokens(row.kept), tokens(row.recomputed)]
    cells += [budget(row.varlen), budget(row.masked)]
    cells += ["yes" if row.varlen is not None and row.varlen.dequantizes else "no"]
    return f"| {' | '.join(cells)} |"


def tokens(number: int | None) -> str:
    """Return a number of tokens as Markdown."""
    return "does not fit" if number is None else f"{number:,}"


def budget(choice: Any) -> str:
    """Return the token budget of a choice; `*`: needs activation checkpointing; `†`: exceeds the plan's margin, but is tried."""
    if choice is None:
        return "does not fit"
    marks = "*" * choice.recomputes + "†" * ("barely enough" in choice.reason)
    return f"{choice.tokens:,}{marks}"


if __name__ == "__main__":
    main()
