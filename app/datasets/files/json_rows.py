"""Reads JSON text row by row: an array or JSONL. Also reads the lines of any other text.

The file is never loaded into memory as a whole. Every error in a row becomes a Rejected.
"""

import codecs
import json
from collections.abc import Generator, Iterator
from typing import Any, Protocol

from app.datasets.files.file_error import FileError, FileProblem
from app.datasets.files.found import Found, Rejected, Row
from contracts.dataset.row_error import RowError, RowProblem
from contracts.dataset.rows import MAX_LINE_BYTES, json_error, parse_json
from contracts.values.nesting import TooDeep, check_text, check_value

BLOCK_BYTES = 256 * 1024
UTF8 = "utf-8-sig"
ENCODING_NAMES = {
    UTF8: "UTF-8",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16LE",
    "utf-16-be": "UTF-16BE",
    "gb18030": "GB18030",
}
"""Display names of encodings by Python codec name."""
_SPACE = " \t\r\n"
_LONGEST_TOKEN = 9
"""Characters of `-Infinity`, the longest token of JSON apart from strings and numbers."""


class Readable(Protocol):
    """A file that is read once, from beginning to end."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; empty at the end."""


def read_json(file: Readable, encoding: str = UTF8) -> Generator[Found, None, None]:
    """Yield each row, or its error. Stop if an error makes it unclear where the next row begins.

    Raises FileError if the text does not use this encoding.
    """
    text = Text(file, encoding)
    if text.peek() == "[":
        yield from _read_array(text)
    else:
        yield from _read_lines(text)


def _read_lines(text: "Text") -> Iterator[Found]:
    number = 0
    while True:
        line_number = text.line
        line = text.take_line()
        if line is None:
            return
        if not line.strip():
            continue
        number += 1
        if len(line) > MAX_LINE_BYTES:
            yield Rejected(RowError(line_number, RowProblem.TOO_MANY_BYTES, limit=MAX_LINE_BYTES))
            return
        try:
            value = parse_json(line, line_number)
        except RowError as error:
            yield Rejected(error)
        else:
            yield Row(number, line_number, value)


def _read_array(text: "Text") -> Iterator[Found]:
    text.skip(1)
    number = 0
    while True:
        character = text.peek()
        if character == "]":
            text.skip(1)
            if text.peek() is not None:
                yield Rejected(RowError(text.line, RowProblem.AFTER_ARRAY))
            return
        if number and character == ",":
            text.skip(1)
            character = text.peek()
        elif number and character is not None:
            yield Rejected(RowError(text.line, RowProblem.NO_COMMA))
            return
        if character is None:
            yield Rejected(RowError(text.line, RowProblem.UNENDED_ARRAY))
            return
        number += 1
        line = text.line
        found = text.take_value()
        if isinstance(found, RowError):
            yield Rejected(found)
            return
        yield Row(number, line, found[0])


def _may_be_cut(error: json.JSONDecodeError, end: int) -> bool:
    """Return whether the parser has found an error only because the text stops at `end`."""
    return error.msg.startswith("Unterminated string") or error.pos >= end - _LONGEST_TOKEN


class Text:
    """A sliding window over the file's text, with the current line number."""

    def __init__(self, file: Readable, encoding: str) -> None:
        self._file = file
        self._encoding = encoding
        self._decode = codecs.getincrementaldecoder(encoding)(errors="strict")
        self._json = json.JSONDecoder()
        self._window = ""
        self._at = 0
        self._ended = False
        self.line = 1

    def peek(self) -> str | None:
        """Return the next character that is not whitespace, without consuming it; None at the end."""
        while True:
            while self._at < len(self._window):
                character = self._window[self._at]
                if character not in _SPACE:
                    return character
                self.skip(1)
            if not self._fill():
                return None

    def skip(self, count: int) -> None:
        """Consume characters."""
        self.line += self._window.count("\n", self._at, self._at + count)
        self._at += count

    def take_line(self) -> str | None:
        """Return the next line without its line break; None at the end. A line longer than MAX_LINE_BYTES is truncated."""
        end = self._window.find("\n", self._at)
        while end < 0 and len(self._window) - self._at <= MAX_LINE_BYTES and self._fill():
            end = self._window.find("\n", self._at)
        if end < 0 and self._at >= len(self._window):
            return None
        line = self._window[self._at :] if end < 0 else self._window[self._at : end]
        self._at += len(line)
        if end >= 0:
            self._at += 1
            self.line += 1
        return line

    def take_value(self) -> tuple[Any] | RowError:
        """Return the next JSON value as a one-element tuple, or an error."""
        while True:
            try:
                value, end = self._json.raw_decode(self._window, self._at)
                check_value(value)
            except json.JSONDecodeError as error:
                # The window may end in the middle of the value.
                if len(self._window) - self._at <= MAX_LINE_BYTES and self._fill():
                    continue
                return self._describe(error)
            except RecursionError:
                return json_error(self.line, TooDeep())
            except ValueError as error:
                return json_error(self.line, error)
            if end == len(self._window) and self._fill():
                continue  # the number may continue in the next block
            self.skip(end - self._at)
            return (value,)

    def _describe(self, error: json.JSONDecodeError) -> RowError:
        if not self._ended and _may_be_cut(error, len(self._window)):
            return RowError(self.line, RowProblem.TOO_MANY_BYTES, limit=MAX_LINE_BYTES)
        try:
            check_text(self._window, self._at, error.pos)
        except TooDeep as too_deep:
            return json_error(self.line, too_deep)
        return json_error(self.line + self._window.count("\n", self._at, error.pos), error)

    def _fill(self) -> bool:
        if self._ended:
            return False
        block = self._file.read(BLOCK_BYTES)
        self._ended = not block
        try:
            text = self._decode.decode(block, final=not block)
        except UnicodeError as error:
            name = ENCODING_NAMES[self._encoding]
            line = self.line + self._window.count("\n", self._at)
            said = str(error)
            if isinstance(error, UnicodeDecodeError):
                before = error.object[: error.start].decode(error.encoding, "ignore")
                line, said = line + before.count("\n"), error.reason
            problem = FileProblem.NOT_ENCODED if self._encoding == UTF8 else FileProblem.NOT_DECODED
            raise FileError(problem, line, encoding=name, said=said) from error
        self._window = self._window[self._at :] + text
        self._at = 0
        return True
