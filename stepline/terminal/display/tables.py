"""Tables that fit the terminal: a column that has no room is left out, and the ids stay complete."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len

if TYPE_CHECKING:
    from rich.table import Table

GAP = 2
"""Spaces between two columns."""
LEAST_WIDTH = 10
"""Characters to which a column may be shortened."""


@dataclass(frozen=True)
class Fit:
    """How a table fits a narrow terminal, by the numbers of its columns."""

    left_out: Sequence[int] = ()
    """Columns that are left out while there is no room for them, the first one first."""
    shortened: Sequence[int] = ()
    """Columns whose cells may end with an ellipsis."""
    folded: Sequence[int] = ()
    """Columns whose cells may continue on the next line."""


def make_table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    fit: Fit,
    colors: Mapping[str, str] | None = None,
) -> "Table":
    """Return a table for a terminal of `width` columns. `colors`: of cells, by their text."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    shown = _choose(titles, rows, width, fit)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    for number in shown:
        if number in fit.shortened:
            table.add_column(Text(titles[number], overflow="fold"), min_width=LEAST_WIDTH)
        elif number in fit.folded:
            table.add_column(Text(titles[number]), overflow="fold")
        else:  # an id must be complete to be copied
            table.add_column(Text(titles[number]), no_wrap=True, overflow="fold")
    for row in rows:
        table.add_row(
            *(
                Text(
                    row[number],
                    style=(colors or {}).get(row[number], ""),
                    no_wrap=number in fit.shortened,
                    overflow="ellipsis" if number in fit.shortened else "fold",
                )
                for number in shown
            )
        )
    return table


def _choose(
    titles: Sequence[str], rows: Sequence[Sequence[str]], width: int, fit: Fit
) -> list[int]:
    """Return the numbers of the columns to show."""
    widths = [max(cell_len(cell) for cell in column) for column in zip(titles, *rows, strict=True)]
    for number in fit.shortened:
        widths[number] = min(widths[number], LEAST_WIDTH)
    shown = list(range(len(titles)))
    for number in fit.left_out:
        if sum(widths[each] + GAP for each in shown) - GAP <= width:
            break
        shown.remove(number)
    return shown
