"""The adapter as one file: a zip that is the same, byte for byte, for the same files."""

import zipfile
from pathlib import Path

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can hold; file times would make each archive another one."""


def archive(directory: Path, target: Path) -> None:
    """Pack the files of a directory, in order of name, uncompressed: weights hardly shrink, and time is dear."""
    aside = target.with_name(target.name + ".tmp")
    with zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED) as zipped:
        for path in sorted(path for path in directory.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(directory).as_posix(), EPOCH)
            entry.external_attr = 0o644 << 16
            entry.file_size = path.stat().st_size
            with path.open("rb") as source, zipped.open(entry, "w") as packed:
                while chunk := source.read(1024 * 1024):
                    packed.write(chunk)
    aside.replace(target)
