"""Messages from the child process to the server: one JSON array per line. The last one marks the end of the output.

- `["row", file, number, line, value]`
- `["rejected", file, number, line, family, problem, figures]`, where `family` is `row` or `file`
- `["no_room", errno]`: could not write a temporary file
- `["end"]`
"""

import json
from typing import Any

from app.datasets.files.file_error import FileError, FileProblem
from app.datasets.files.found import Found, Rejected, Row
from contracts.dataset.row_error import RowError, RowProblem
from contracts.dataset.rows import MAX_LINE_BYTES, json_error
from contracts.values.nesting import TooDeep, check_value

MAX_FRAME_BYTES = MAX_LINE_BYTES + 64 * 1024
"""Maximum length of a frame with a row and its place."""
END = ["end"]
NO_ROOM = "no_room"
_ROW_CODES = frozenset(each.value for each in RowProblem)
_FILE_CODES = frozenset(each.value for each in FileProblem)


class BrokenFrame(ValueError):
    """The child's output is not a frame."""


def encode(found: Found) -> bytes:
    """Return the frame for a row or a problem. A row that is too long becomes a problem."""
    if isinstance(found, Rejected):
        error = found.error
        family = "row" if isinstance(error, RowError) else "file"
        place = [found.file[:1000], found.number, error.line]
        return pack(["rejected", *place, family, error.problem.value, error.figures])
    frame = pack(["row", found.file[:1000], found.number, found.line, found.value])
    if len(frame) <= MAX_FRAME_BYTES:
        return frame
    error = RowError(found.line, RowProblem.TOO_MANY_BYTES, limit=MAX_LINE_BYTES)
    return encode(Rejected(error, found.number, found.file))


def pack(frame: list[Any]) -> bytes:
    """Encode a frame as a line."""
    # JSON text may contain an unpaired surrogate.
    return json.dumps(frame, ensure_ascii=False).encode(errors="surrogatepass") + b"\n"


def decode(line: bytes) -> Found | None:
    """Return a frame's row or problem; None for the last frame. Raises BrokenFrame, or OSError if the disk was full."""
    try:
        frame = json.loads(line.decode(errors="surrogatepass")) if line.endswith(b"\n") else None
        match frame:
            case ["end"]:
                return None
            case ["row", str(file), int(number), int(row_line), value]:
                return _row(Row(number, row_line, value, file))
            case ["rejected", str(file), number, int(at), family, str(problem), dict(figures)]:
                return Rejected(_error(family, at, problem, figures), number, file)
            case ["no_room", int(number)]:
                raise OSError(number, "the conversion could not write a temporary file")
    except (ValueError, RecursionError) as error:
        raise BrokenFrame(str(error)) from error
    raise BrokenFrame(f"{line[:200]!r}")


def _error(family: Any, line: Any, problem: str, figures: dict[str, Any]) -> RowError | FileError:
    """Return a problem. A refusal stored by another version of the server may contain a code that this version does not know."""
    if family == "row":
        if problem in _ROW_CODES:
            return RowError(line, RowProblem(problem), **figures)
        return RowError(line, RowProblem.OTHER)
    if problem in _FILE_CODES:
        return FileError(FileProblem(problem), line, **figures)
    return FileError(FileProblem.OTHER, line)


def _row(row: Row) -> Found:
    try:
        check_value(row.value)
    except TooDeep as error:
        return Rejected(json_error(row.line, error), row.number, row.file)
    return row
