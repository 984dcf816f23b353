"""Recognises an uploaded file that is neither JSONL nor JSON from its first bytes, so that the error can name its format."""

import json
from typing import Literal

FileKind = Literal["csv", "tsv", "parquet", "arrow", "gzip", "zip", "plain_text"]

HEAD_BYTES = 4096
_SIGNATURES: tuple[tuple[bytes, FileKind], ...] = (
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
)


def find_other_kind(head: bytes) -> FileKind | None:
    """Return the kind of a file that begins with these bytes; None if it may be JSONL or JSON."""
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    try:
        text = head.decode("utf-8-sig", errors="ignore" if len(head) == HEAD_BYTES else "strict")
    except UnicodeDecodeError:
        return None  # the reader reports where it stops being UTF-8
    first_line = text.lstrip().partition("\n")[0].strip()
    if not first_line or first_line[0] in "{[" or _is_json(first_line):
        return None
    if "\t" in first_line:
        return "tsv"
    return "csv" if "," in first_line or ";" in first_line else "plain_text"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
