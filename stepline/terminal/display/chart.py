"""Draws a curve with braille characters: two by four dots per character."""

from collections.abc import Sequence

_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""The bit of each dot of a character: by column, then by row from the top (Unicode block Braille Patterns)."""


def draw_curve(points: Sequence[tuple[int, float]], width: int, height: int) -> list[str]:
    """Return `height` lines of `width` characters with the curve of (step, value) points; empty without points.

    Columns between points are interpolated. If several points are in one column of dots, their mean is drawn.
    """
    if not points or width < 1 or height < 1:
        return []
    columns = _columns(points, width * 2)
    low, high = min(value for _, value in points), max(value for _, value in points)
    span = (high - low) or 1.0
    cells = [[0] * width for _ in range(height)]
    last: int | None = None
    for x, value in enumerate(columns):
        y = round((high - value) / span * (height * 4 - 1))
        start = y if last is None else last
        for dot in range(min(start, y), max(start, y) + 1):
            cells[dot // 4][x // 2] |= _DOTS[x % 2][dot % 4]
        last = y
    return ["".join(chr(0x2800 + cell) for cell in row) for row in cells]


def _columns(points: Sequence[tuple[int, float]], count: int) -> list[float]:
    """Return a value for each column, or only one value if all points are at the same step."""
    first, last = points[0][0], points[-1][0]
    found: list[list[float]] = [[] for _ in range(count)]
    for step, value in points:
        place = 0 if last == first else round((step - first) / (last - first) * (count - 1))
        found[place].append(value)
    known = [(x, sum(values) / len(values)) for x, values in enumerate(found) if values]
    filled: list[float] = []
    for (x, value), (next_x, next_value) in zip(
        known, [*known[1:], (known[-1][0] + 1, known[-1][1])], strict=True
    ):
        gap = next_x - x
        filled += [value + (next_value - value) * step / gap for step in range(gap)]
    return filled
