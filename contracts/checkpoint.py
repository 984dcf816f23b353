"""A checkpoint: its files on the worker's disk, and the messages that upload and download it.

On disk, it is a directory `step-00000012` with `tensors.safetensors`, `state.json` and, written last,
`manifest.json`, which lists the others with their hashes. A directory without a matching manifest is not a checkpoint.
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
    """Evaluation loss at exactly this step; the checkpoint with the lowest loss is the best."""
    files: dict[str, str]
    """SHA-256 in hexadecimal, by file name."""


class CheckpointFile(Tolerant):
    """One of a checkpoint's files, including the manifest."""

    name: FileName
    sha256: Sha256
    bytes: int = Field(ge=0)


class Origin(Tolerant):
    """The hub commits that an attempt trained on; attempts that resume from its checkpoints use the same ones."""

    model_revision: str | None = Field(None, max_length=100)
    train_revision: str | None = Field(None, max_length=100)
    mixed_revisions: list[Annotated[str, Field(max_length=100)] | None] = Field([], max_length=16)
    """For a job with several training datasets, the commit of each one; null for an uploaded one."""
    eval_revision: str | None = Field(None, max_length=100)


class CheckpointOffer(Tolerant):
    """Offers a complete, recorded checkpoint. The server stores it when it is offered again after all uploads."""

    step: int = Field(ge=0)
    name: FileName
    eval_loss: float | None = None
    files: list[CheckpointFile] = Field(min_length=1, max_length=20)
    origin: Origin = Origin()


class CheckpointReply(Tolerant):
    """Files that the server still needs; empty once it has stored the checkpoint."""

    missing: list[str]
    """SHA-256 of each file to upload."""
    stored: bool


class ResumePoint(Tolerant):
    """A checkpoint in the server's storage from which an attempt may resume."""

    checkpoint_id: str
    attempt: int
    """Number of the attempt that wrote the checkpoint."""
    step: int
    files: list[CheckpointFile]
    origin: Origin = Origin()


def list_checkpoints(directory: Path) -> list[tuple[Path, Manifest]]:
    """Return the checkpoints in a directory that have a manifest, newest first."""
    paths = [path for path in directory.glob("step-*") if path.suffix != ".tmp"]
    found = [(path, manifest) for path in paths if (manifest := read_manifest(path))]
    return sorted(found, key=lambda pair: (-pair[1].step, pair[0].name))


def read_manifest(path: Path) -> Manifest | None:
    """Return the manifest of a checkpoint directory, or None if it is missing or unreadable."""
    try:
        return Manifest.model_validate_json((path / MANIFEST_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def is_whole(path: Path) -> bool:
    """Return whether every file of the checkpoint matches its manifest."""
    manifest = read_manifest(path)
    if manifest is None or manifest.format_version != FORMAT_VERSION:
        return False
    return set(manifest.files) >= {TENSORS_FILE, STATE_FILE} and all(
        (path / name).is_file() and hash_file(path / name) == digest
        for name, digest in manifest.files.items()
        if name in {TENSORS_FILE, STATE_FILE}
    )


def describe_files(path: Path) -> Iterator[CheckpointFile]:
    """Yield the files of a checkpoint that must be uploaded. Raises OSError if one is missing."""
    manifest = Manifest.model_validate_json((path / MANIFEST_FILE).read_bytes())
    digests = {name: manifest.files[name] for name in (TENSORS_FILE, STATE_FILE)}
    digests[MANIFEST_FILE] = hash_file(path / MANIFEST_FILE)
    for name, sha256 in digests.items():
        yield CheckpointFile(name=name, sha256=sha256, bytes=(path / name).stat().st_size)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
