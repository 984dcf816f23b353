"""Breaks text into lines that fit a terminal. Chinese has no spaces between words, and its characters fill two columns."""

import re

from rich.cells import cell_len

_WIDE = "\u2e80-\uffef"
_UNITS = re.compile(rf"\s+|[^\s{_WIDE}]+|[{_WIDE}]")
_OPENING = "（《「『【〔“"
_CLOSING = "，。；：、！？）》」』】〕”…"


def wrap(text: str, width: int) -> list[str]:
    """Return the lines of a text, each at most `width` columns wide unless a single word is wider.

    A line break in the text is kept, and so are the spaces at the start of a line. No line starts with a closing
    punctuation mark.
    """
    return [line for each in text.split("\n") for line in _wrap_line(each, width)]


def _wrap_line(text: str, width: int) -> list[str]:
    lines: list[str] = []
    line = ""
    for unit in _units(text):
        if line.strip() and cell_len(line + unit.rstrip()) > width:
            lines.append(line.rstrip())
            line = unit.lstrip()
        else:
            line += unit
    return [*lines, line.rstrip()]


def _units(text: str) -> list[str]:
    """Return the parts of a text that must not be broken."""
    units: list[str] = []
    for unit in _UNITS.findall(text):
        if units and (unit in _CLOSING or units[-1][-1] in _OPENING):
            units[-1] += unit
        else:
            units.append(unit)
    return units
