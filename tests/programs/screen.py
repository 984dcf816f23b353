"""Replays what a program wrote to a terminal, and returns what the user sees. Knows the sequences that rich and click write."""

import re

from rich.cells import cell_len

_TOKENS = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|(.)", re.DOTALL)
_RESET = "\x1b[0m"


def replay(written: str, columns: int) -> list[str]:
    """Return the lines of the terminal, with the escape sequences for colors. Raises ValueError for an unknown sequence."""
    screen = _Screen(columns)
    for match in _TOKENS.finditer(written):
        arguments, command, character = match.groups()
        if command:
            screen.control(command, arguments)
        elif character:
            screen.write(character)
    return screen.lines()


class _Screen:
    """Lines of cells. A wide character fills two cells; the second one is empty."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._cells: list[list[tuple[str, str]]] = [[]]
        self._row = self._column = 0
        self._style = ""

    def lines(self) -> list[str]:
        """Return the lines without spaces at their ends."""
        return [_join(row) for row in self._cells]

    def write(self, character: str) -> None:
        """Write a character, or move as a control character says."""
        if character == "\n":
            self._row += 1
            self._add_rows()
        elif character == "\r":
            self._column = 0
        else:
            self._put(character)

    def control(self, command: str, arguments: str) -> None:
        """Carry out an escape sequence."""
        match command:
            case "m":
                is_reset = arguments in ("", "0")
                self._style = "" if is_reset else f"{self._style}\x1b[{arguments}m"
            case "A":
                self._row = max(0, self._row - int(arguments or 1))
            case "K" if arguments == "2":
                self._cells[self._row] = []
            case "K":
                del self._cells[self._row][self._column :]
            case "h" | "l":
                pass  # shows or hides the cursor
            case _:
                raise ValueError(f"unknown sequence: {arguments}{command}")

    def _put(self, character: str) -> None:
        width = cell_len(character)
        row = self._cells[self._row]
        if width == 0:  # joins the character before it
            if row:
                row[-1] = (row[-1][0] + character, row[-1][1])
            return
        if self._column + width > self._columns:
            self._row, self._column = self._row + 1, 0
            self._add_rows()
            row = self._cells[self._row]
        row += [(" ", "")] * (self._column - len(row))
        row[self._column : self._column + width] = [
            (character, self._style),
            *[("", self._style)] * (width - 1),
        ]
        self._column += width

    def _add_rows(self) -> None:
        self._cells += [[] for _ in range(self._row + 1 - len(self._cells))]


def _join(row: list[tuple[str, str]]) -> str:
    last = max(
        (place for place, (text, style) in enumerate(row) if text.strip() or style), default=-1
    )
    text, current = "", ""
    for character, style in row[: last + 1]:
        if style != current:
            text += (_RESET if current else "") + style
            current = style
        text += character
    return text + (_RESET if current else "")
