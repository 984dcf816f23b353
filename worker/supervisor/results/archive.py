"""Packs the adapter into a zip archive that is byte-identical for identical files."""

import zipfile
from pathlib import Path

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can store; real file times would make each archive different."""


def archive(directory: Path, target: Path) -> None:
    """Pack a directory's files, sorted by name, without compression, which is slow and saves little on weights."""
    temporary = target.with_name(target.name + ".tmp")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as zipped:
        for path in sorted(path for path in directory.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(directory).as_posix(), EPOCH)
            entry.external_attr = 0o644 << 16
            entry.file_size = path.stat().st_size
            with path.open("rb") as source, zipped.open(entry, "w") as packed:
                while chunk := source.read(1024 * 1024):
                    packed.write(chunk)
    temporary.replace(target)
