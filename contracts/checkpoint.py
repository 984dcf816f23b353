"""A checkpoint: its files on the worker's disk, and how it travels to the server's storage and back.

On disk it is a directory `step-00000012` with `tensors.safetensors`, `state.json` and, written last,
`manifest.json`, which names the others with their hashes. A directory without a manifest that fits is none.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, ValidationError

from contracts.base import Tolerant

FORMAT_VERSION = 1
TENSORS_FILE, STATE_FILE, MANIFEST_FILE = "tensors.safetensors", "state.json", "manifest.json"

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class Manifest(Tolerant):
    """Names and hashes of a checkpoint's files."""

    format_version: int = FORMAT_VERSION
    step: int
    eval_loss: float | None = None
    """Taken at this very step; the lowest one is the best checkpoint."""
    files: dict[str, str]
    """SHA-256 in hexadecimal by file name."""


class CheckpointFile(Tolerant):
    """One file of a checkpoint, the manifest included."""

    name: FileName
    sha256: Sha256
    bytes: int = Field(ge=0)


class Origin(Tolerant):
    """Commits of the hub that an attempt trained on; those that go on from its checkpoints take the same."""

    model_revision: str | None = Field(None, max_length=100)
    train_revision: str | None = Field(None, max_length=100)
    eval_revision: str | None = Field(None, max_length=100)


class CheckpointOffer(Tolerant):
    """A worker offers a whole checkpoint, whose record has been synced. Offered again, once all is there, it is stored."""

    step: int = Field(ge=0)
    name: FileName
    eval_loss: float | None = None
    files: list[CheckpointFile] = Field(min_length=1, max_length=20)
    origin: Origin = Origin()


class CheckpointReply(Tolerant):
    """What the server lacks of it; nothing once it is stored."""

    missing: list[str]
    """SHA-256 of each file to send."""
    stored: bool


class ResumePoint(Tolerant):
    """A checkpoint in the server's storage that an attempt may start from."""

    checkpoint_id: str
    attempt: int
    """Number of the attempt that wrote it."""
    step: int
    files: list[CheckpointFile]
    origin: Origin = Origin()


def list_checkpoints(directory: Path) -> list[tuple[Path, Manifest]]:
    """Return the checkpoints in a directory that have a manifest, newest first."""
    paths = [path for path in directory.glob("step-*") if path.suffix != ".tmp"]
    found = [(path, manifest) for path in paths if (manifest := read_manifest(path))]
    return sorted(found, key=lambda pair: (-pair[1].step, pair[0].name))


def read_manifest(path: Path) -> Manifest | None:
    """Return the manifest of a checkpoint's directory; None if there is none that can be read."""
    try:
        return Manifest.model_validate_json((path / MANIFEST_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def is_whole(path: Path) -> bool:
    """Return whether every file of the checkpoint is as its manifest says."""
    manifest = read_manifest(path)
    if manifest is None or manifest.format_version != FORMAT_VERSION:
        return False
    return set(manifest.files) >= {TENSORS_FILE, STATE_FILE} and all(
        (path / name).is_file() and hash_file(path / name) == digest
        for name, digest in manifest.files.items()
        if name in {TENSORS_FILE, STATE_FILE}
    )


def describe_files(path: Path) -> Iterator[CheckpointFile]:
    """Yield the files of a checkpoint as they are to travel. Raises OSError if one is gone."""
    manifest = Manifest.model_validate_json((path / MANIFEST_FILE).read_bytes())
    digests = {name: manifest.files[name] for name in (TENSORS_FILE, STATE_FILE)}
    digests[MANIFEST_FILE] = hash_file(path / MANIFEST_FILE)
    for name, sha256 in digests.items():
        yield CheckpointFile(name=name, sha256=sha256, bytes=(path / name).stat().st_size)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
