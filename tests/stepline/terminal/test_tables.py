import io

import pytest
from rich.console import Console

from stepline.terminal.tables import Fit, make_table

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


def draw(rows: tuple[tuple[str, ...], ...], width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    with console.capture() as capture:
        console.print(make_table(TITLES, rows, width, FIT))
    return [line.rstrip() for line in capture.get().splitlines()]
