"""Opens the data files of a zip archive one by one. File names from the archive are never used as paths on disk."""

import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from app.datasets.conversion.budget import Budget, Unpacked
from app.datasets.files.file_error import FileError, FileProblem
from app.datasets.files.file_kind import HEAD_BYTES

MAX_ENTRIES = 1000
MAX_DIRECTORY_BYTES = 1024 * 1024
"""Maximum size of the central directory, in bytes. `zipfile` loads all of it into memory."""
DATA_SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow", ".feather")
PACKED_SUFFIXES = (".gz", ".zst", ".zstd")
"""Suffixes that the name of a data file may have, for example `rows.jsonl.gz`."""
ARCHIVE_SUFFIXES = (".zip", ".bz2", ".xz", ".7z", ".rar", ".tar", ".tgz", *PACKED_SUFFIXES)
IGNORED_NAMES = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
"""Metadata files that the `datasets` library writes next to the data."""
SHOWN_NAMES = 5
_END = b"PK\x05\x06"
_END_BYTES = 22
_END_64 = b"PK\x06\x06"
_END_64_BYTES = 56
_LOCATOR_64 = b"PK\x06\x07"
_LOCATOR_64_BYTES = 20
_MAX_COMMENT_BYTES = 0xFFFF
_ENCRYPTED = 0x1
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    ValueError,
    OSError,
)


def data_files(file: BinaryIO, budget: Budget) -> Iterator[tuple[str, BinaryIO]]:
    """Yield the name and content of each data file, sorted by name. The content may still be compressed. Raises FileError."""
    _check_directory(file)
    try:
        archive = zipfile.ZipFile(file)
    except _DAMAGE as error:
        raise _damaged(error) from error
    with archive:
        entries = archive.infolist()
        if len(entries) > MAX_ENTRIES:
            raise FileError(FileProblem.TOO_MANY_ENTRIES, limit=MAX_ENTRIES)
        for entry in entries:
            _check_entry(entry)
        chosen = [entry for entry in entries if _is_data(entry.filename)]
        if not chosen:
            names = ", ".join(entry.filename[:60] for entry in entries[:SHOWN_NAMES])
            raise FileError(FileProblem.NO_DATA_FILE, names=names or "-")
        for entry in sorted(chosen, key=lambda entry: entry.filename):
            try:
                source = archive.open(entry)
            except _DAMAGE as error:
                raise _damaged(error, entry.filename) from error
            with source:
                unpacked = Unpacked(cast("BinaryIO", source), "zip", budget, _DAMAGE)
                yield entry.filename, cast("BinaryIO", io.BufferedReader(unpacked, HEAD_BYTES))


def _check_directory(file: BinaryIO) -> None:
    """Reject a large central directory before `zipfile` loads it."""
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - _END_BYTES - _MAX_COMMENT_BYTES - _LOCATOR_64_BYTES))
    tail = file.read()
    file.seek(0)
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + _END_BYTES:
        raise FileError(FileProblem.DAMAGED, kind="zip", said="its list of files is missing")
    entries = int.from_bytes(tail[at + 10 : at + 12], "little")
    directory_bytes = int.from_bytes(tail[at + 12 : at + 16], "little")
    if tail[max(0, at - _LOCATOR_64_BYTES) : at].startswith(_LOCATOR_64):
        # `zipfile` ignores the two numbers and reads those of the ZIP64 record before its locator.
        start = length - len(tail) + at - _LOCATOR_64_BYTES - _END_64_BYTES
        file.seek(max(0, start))
        record = file.read(_END_64_BYTES)
        file.seek(0)
        if start < 0 or not record.startswith(_END_64):
            raise FileError(FileProblem.DAMAGED, kind="zip", said="its list of files is missing")
        entries = int.from_bytes(record[32:40], "little")
        directory_bytes = int.from_bytes(record[40:48], "little")
    # Without a ZIP64 record, a field of 0xFF… also exceeds the limit.
    if entries > MAX_ENTRIES or directory_bytes > MAX_DIRECTORY_BYTES:
        raise FileError(FileProblem.TOO_MANY_ENTRIES, limit=MAX_ENTRIES)


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or name.startswith(("/", "\\")) or ":" in parts[0]:
        raise FileError(FileProblem.UNSAFE_NAME, file=name)
    if entry.flag_bits & _ENCRYPTED:
        raise FileError(FileProblem.ENCRYPTED, file=name)
    if name.lower().endswith(ARCHIVE_SUFFIXES) and not _data_name(name).endswith(DATA_SUFFIXES):
        raise FileError(FileProblem.NESTED, file=name)


def _is_data(name: str) -> bool:
    path = PurePosixPath(name)
    is_hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    if name.endswith("/") or is_hidden or path.name in IGNORED_NAMES:
        return False
    return _data_name(name).endswith(DATA_SUFFIXES)


def _data_name(name: str) -> str:
    """Return the name in lower case, without the suffix of one compression."""
    lower = name.lower()
    return next(
        (lower.removesuffix(each) for each in PACKED_SUFFIXES if lower.endswith(each)), lower
    )


def _damaged(error: Exception, name: str = "") -> FileError:
    said = str(error) or type(error).__name__
    return FileError(FileProblem.DAMAGED, kind="zip", said=said, file=name)
