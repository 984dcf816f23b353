"""A plain-text chart of the loss for a terminal with 80 columns."""

import math
from collections.abc import Sequence

COLUMNS = 66
ROWS = 18
TRAIN, RANGE, EVALUATION = "*", ":", "E"

ChartPoint = tuple[int, float]
"""(step, loss)."""


def draw_chart(
    title: str, status: str, train: Sequence[ChartPoint], evaluations: Sequence[ChartPoint]
) -> str:
    """Return the chart: the mean and range of the points in each column, and the evaluations."""
    train = [point for point in train if math.isfinite(point[1])]
    evaluations = [point for point in evaluations if math.isfinite(point[1])]
    drawn = [*train, *evaluations]
    head = f"{title}  {status}"
    if not drawn:
        return f"{head}\n(no loss yet)\n"
    first, last = min(step for step, _ in drawn), max(step for step, _ in drawn)
    low, high = min(loss for _, loss in drawn), max(loss for _, loss in drawn)
    canvas = [[" "] * COLUMNS for _ in range(ROWS)]

    def column(step: int) -> int:
        return round((step - first) / max(last - first, 1) * (COLUMNS - 1))

    def row(loss: float) -> int:
        return round((high - loss) / ((high - low) or 1.0) * (ROWS - 1))

    by_column: dict[int, list[float]] = {}
    for step, loss in train:
        by_column.setdefault(column(step), []).append(loss)
    for place, losses in by_column.items():
        for height in range(row(max(losses)), row(min(losses)) + 1):
            canvas[height][place] = RANGE
        canvas[row(math.fsum(losses) / len(losses))][place] = TRAIN
    for step, loss in evaluations:
        canvas[row(loss)][column(step)] = EVALUATION
    lines = [head, "loss (nats per supervised token)"]
    for number, cells in enumerate(canvas):
        loss = high - (high - low) * number / (ROWS - 1)
        label = f"{loss:9.4g}" if number % 4 == 0 or number == ROWS - 1 else " " * 9
        lines.append(f"{label} |{''.join(cells)}".rstrip())
    lines.append(" " * 10 + "+" + "-" * COLUMNS)
    lines.append(" " * 11 + _under_axis(first, last))
    lines.append(f"{TRAIN} step loss (mean)   {RANGE} range   {EVALUATION} evaluation loss")
    return "\n".join(lines) + "\n"


def _under_axis(first: int, last: int) -> str:
    left, right = str(first), str(last)
    middle = "step" if first == last else f"{(first + last) // 2} step"
    gap = COLUMNS - len(left) - len(right)
    return left + middle.center(gap) + (right if first != last else "")
