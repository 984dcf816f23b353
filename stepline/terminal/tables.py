"""Tables that fit the terminal: a column that has no room is left out, and the ids stay complete."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

if TYPE_CHECKING:
    from rich.table import Table

GAP = 2
"""Spaces between two columns."""


def make_table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    *,
    optional: Sequence[int] = (),
    styles: dict[str, str] | None = None,
) -> "Table":
    """Return a table for a terminal of `width` columns.

    `optional`: numbers of the columns that are left out if the table is too wide, the first one first. The first
    column is an id, which is never shortened. `styles` colors the cells with a given text.
    """
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    shown = _choose(titles, rows, width, optional)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    for place, number in enumerate(shown):
        # The first column is an id, which must be complete to be copied.
        overflow = "fold" if place == 0 else "ellipsis"
        table.add_column(titles[number], overflow=overflow, no_wrap=True)  # type: ignore[arg-type]
    for row in rows:
        cells = (row[number] for number in shown)
        table.add_row(*(Text(cell, style=(styles or {}).get(cell, "")) for cell in cells))
    return table


def _choose(
    titles: Sequence[str], rows: Sequence[Sequence[str]], width: int, optional: Sequence[int]
) -> list[int]:
    """Return the numbers of the columns to show."""
    widths = [max(cell_len(cell) for cell in column) for column in zip(titles, *rows, strict=True)]
    shown = list(range(len(titles)))
    for number in optional:
        if sum(widths[each] + GAP for each in shown) - GAP <= width:
            break
        shown.remove(number)
    return shown
