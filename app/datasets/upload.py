"""An uploaded file, and how to read its rows."""

from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO

from app.datasets.conversion.process import convert
from app.datasets.conversion.request import Encoding, Limits, Request
from app.datasets.files.file_error import FileError, other_kind
from app.datasets.files.file_kind import HEAD_BYTES, FileKind, find_plain_kind
from app.datasets.files.found import Found, Rejected
from app.datasets.files.json_lines import are_lines, read_lines
from app.datasets.files.json_rows import read_json


@dataclass(frozen=True)
class Upload:
    """A received file, and how the request describes it."""

    file: BinaryIO
    filename: str
    encoding: Encoding | None
    """None: detect it."""
    limits: Limits

    def needs_conversion(self) -> bool:
        """Return whether a child process must read the file. Plain JSON is read in this process, which is faster."""
        return self._plain_kind not in ("json", "plain_text")

    def rows(self) -> Generator[Found, None, None]:
        """Yield each row, or its error. Close the iterator. Raises OSError if a temporary file cannot be written."""
        kind, are_separate = self._plain_kind, are_lines(self._head)
        self.file.seek(0)
        if kind == "json":
            read = read_lines if are_separate else read_json
            try:
                yield from read(self.file)
            except FileError as error:
                yield Rejected(error)
        elif kind == "plain_text":
            yield Rejected(other_kind(kind))
        else:
            request = Request(self.filename, self.encoding, self.limits)
            yield from convert(_on_disk(self.file), request)

    @cached_property
    def _plain_kind(self) -> FileKind | None:
        if self.encoding not in (None, "utf-8"):
            return None
        return find_plain_kind(self._head, self.filename)

    @cached_property
    def _head(self) -> bytes:
        self.file.seek(0)
        return self.file.read(HEAD_BYTES)


def _on_disk(file: Any) -> BinaryIO:
    """Return a file with a descriptor, which small uploads do not have because they are in memory."""
    if isinstance(file, SpooledTemporaryFile):
        file.rollover()
    found: BinaryIO = file
    return found
