import io

import pytest
from rich.console import Console

from stepline.terminal.display.tables import Fit, make_table
from stepline.terminal.screens.overview import COLUMNS, LEFT_OUT, SHORTENED

TITLES = ("Job", "Name", "Status", "Model")
ID = "job_0123456789abcdef01234567"
ROWS = ((ID, "a name that is much longer than ten characters", "running", "Qwen/Qwen2-0.5B"),)
FIT = Fit(left_out=(3, 1), shortened=(1,))


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (120, ["Job", "Name", "Status", "Model"]),
        (60, ["Job", "Name", "Status"]),
        (40, ["Job", "Status"]),
    ],
)
def test_a_narrow_terminal_shows_fewer_columns_and_the_complete_id(
    width: int, titles: list[str]
) -> None:
    head, row, *rest = draw(ROWS, width)

    assert head.split() == titles
    assert row.startswith(f"{ID}  ")
    assert len(row) <= width
    assert rest == []


def test_a_column_of_wide_characters_is_measured_in_terminal_columns() -> None:
    _, row = draw(((ID, "你好" * 20, "running", "m"),), 60)

    assert "你好" in row
    assert "…" in row
    assert "running" in row


@pytest.mark.parametrize("width", [30, 40])
def test_the_narrowest_terminals_show_complete_ids_in_the_table_of_jobs(width: int) -> None:
    cells = dict.fromkeys(COLUMNS, "–") | {
        "job": ID,
        "progress": "step 12 of 12",
        "status": "succeeded",
    }
    fit = Fit(
        [COLUMNS.index(name) for name in LEFT_OUT], [COLUMNS.index(name) for name in SHORTENED]
    )
    console = Console(width=width, file=io.StringIO(), force_terminal=False)

    with console.capture() as capture:
        console.print(make_table(COLUMNS, [list(cells.values())], width, fit))

    head, row = capture.get().splitlines()
    shown = 2 if width == 40 else 1
    assert row.split() == [ID, "succeeded"][:shown]
    assert head.split() == ["job", "status"][:shown]


def draw(rows: tuple[tuple[str, ...], ...], width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    with console.capture() as capture:
        console.print(make_table(TITLES, rows, width, FIT))
    return [line.rstrip() for line in capture.get().splitlines()]
