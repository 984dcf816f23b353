"""Detects the type of an uploaded file from its first bytes: text, a table, or a compressed file."""

import csv
import json
from typing import Literal

FileKind = Literal[
    "json",  # an array, or JSONL
    "csv",
    "tsv",
    "parquet",
    "arrow_file",
    "arrow_stream",
    "gzip",
    "zstd",
    "zip",
    # The server names these kinds when it rejects them.
    "plain_text",
    "utf32",
    "encrypted_parquet",
    "bzip2",
    "xz",
    "7z",
    "rar",
    "tar",
    "office",
    "pdf",
]

HEAD_BYTES = 64 * 1024
COMPRESSED: tuple[FileKind, ...] = ("gzip", "zstd", "zip", "bzip2", "xz", "7z", "rar", "tar")
DELIMITERS: dict[str, FileKind] = {",": "csv", ";": "csv", "\t": "tsv"}
_TAR_MAGIC_AT = 257
_SIGNATURES: tuple[tuple[bytes, FileKind], ...] = (
    (b"PAR1", "parquet"),
    (b"PARE", "encrypted_parquet"),
    (b"ARROW1", "arrow_file"),
    (b"\xff\xff\xff\xff", "arrow_stream"),
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),  # without entries
    (b"\xff\xfe\x00\x00", "utf32"),
    (b"\x00\x00\xfe\xff", "utf32"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "office"),
    (b"%PDF-", "pdf"),
)


def find_binary_kind(head: bytes) -> FileKind | None:
    """Return the kind of a non-text file; None if it may be text."""
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    return "tar" if head[_TAR_MAGIC_AT:].startswith(b"ustar") else None


def find_text_kind(text: str, filename: str = "") -> FileKind:
    """Return the kind of text that begins with `head`. A one-column CSV file is recognised only by its name."""
    first_line = text.lstrip().partition("\n")[0].strip()
    if not first_line or first_line[0] in "{[" or _is_json(first_line):
        return "json"
    name = filename.lower()
    if name.endswith(".tsv"):
        return "tsv"
    delimiter = find_delimiter(first_line)
    if delimiter is None:
        return "csv" if name.endswith(".csv") else "plain_text"
    return DELIMITERS[delimiter]


def find_delimiter(first_line: str) -> str | None:
    """Return the delimiter of a table's first line; None if the line has a single cell."""
    cells = {delimiter: len(_split(first_line, delimiter)) for delimiter in DELIMITERS}
    best = max(cells, key=lambda delimiter: cells[delimiter])
    return best if cells[best] > 1 else None


def find_plain_kind(head: bytes, filename: str = "") -> FileKind | None:
    """Return the kind of a UTF-8 text file, which may be empty; None for other files."""
    if find_binary_kind(head) is not None or b"\0" in head:
        return None
    text = decode_utf8(head)
    return None if text is None else find_text_kind(text, filename)


def decode_utf8(head: bytes) -> str | None:
    """Return the decoded beginning of a file; None if it is not UTF-8. `head` may end within a character."""
    try:
        return head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        is_cut = len(head) >= HEAD_BYTES and error.start >= len(head) - 3
        return head[: error.start].decode("utf-8-sig") if is_cut else None


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:  # a cell exceeds the module's limit
        return line.split(delimiter)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
