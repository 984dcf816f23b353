"""The adapter of a stored checkpoint as a zip archive in peft's format, built from the checkpoint's files.

The archive is kept in the data directory without a row, so the sweep deletes it after an hour. A later download builds it again.
"""

import json
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from sqlalchemy.orm import Session

from app.checkpoints import store
from app.checkpoints.retention import files_of
from app.db.tables import Checkpoint
from app.errors.kinds import CheckpointNotStored, CheckpointWithoutAdapter
from app.storage.building import build
from app.storage.data_dir import Draft, Storage
from contracts.checkpoint import ADAPTER_PREFIX, STATE_FILE, TENSORS_FILE

CONFIG_NAME, WEIGHTS_NAME = "adapter_config.json", "adapter_model.safetensors"
MOST_HEADER_BYTES = 100 * 1000 * 1000
"""The limit of the safetensors library."""
_LENGTH = struct.Struct("<Q")
_CHUNK_BYTES = 1024 * 1024
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can store; with it, the archive of a checkpoint always has the same bytes."""


class StoredAdapter(NamedTuple):
    """The files from which the adapter of a checkpoint is built."""

    checkpoint_id: str
    job_id: str
    tensors: str
    """Relative to the data directory, like `state`."""
    state: str
    tag: str
    """The same for equal content."""


def require_stored(session: Session, checkpoint: Checkpoint) -> StoredAdapter:
    """Return the files of a checkpoint. Raises CheckpointNotStored if it is only on a worker's disk."""
    digests = {file.name: file.sha256 for file in files_of(checkpoint)}
    paths = {}
    for name in (TENSORS_FILE, STATE_FILE):
        blob = store.find_blob(session, checkpoint.job_id, digests.get(name, ""))
        if blob is None or checkpoint.stored_at is None:
            raise CheckpointNotStored(checkpoint=checkpoint.id, step=checkpoint.step)
        paths[name] = blob.path
    return StoredAdapter(
        checkpoint.id,
        checkpoint.job_id,
        paths[TENSORS_FILE],
        paths[STATE_FILE],
        digests[TENSORS_FILE],
    )


def build_archive(storage: Storage, adapter: StoredAdapter) -> Path:
    """Return the path of the archive, which is built unless it exists.

    Raises CheckpointWithoutAdapter if the checkpoint has no description of its adapter, or a storage error.
    """

    def write(draft: Draft) -> None:
        config = _read_config(storage.path(adapter.state), adapter.checkpoint_id)
        with storage.path(adapter.tensors).open("rb") as tensors:
            _write(tensors, config, draft.file, adapter.checkpoint_id)

    return build(storage, storage.checkpoint_adapter(adapter.job_id, adapter.checkpoint_id), write)


def _read_config(path: Path, checkpoint_id: str) -> bytes:
    try:
        config = json.loads(path.read_bytes()).get("adapter_config")
    except (ValueError, AttributeError) as error:
        raise CheckpointWithoutAdapter(checkpoint=checkpoint_id) from error
    if not isinstance(config, dict):
        raise CheckpointWithoutAdapter(checkpoint=checkpoint_id)
    return json.dumps(config, indent=2, sort_keys=True).encode()


def _write(tensors: BinaryIO, config: bytes, target: BinaryIO, checkpoint_id: str) -> None:
    """Write the archive: the configuration, and the adapter's tensors under the names that peft gives them in a file."""
    try:
        begin, header = _read_header(tensors)
        found = {
            name.removeprefix(ADAPTER_PREFIX).replace(".default.", "."): entry
            for name, entry in header.items()
            if name.startswith(ADAPTER_PREFIX)
        }
        spans = {name: _span(entry) for name, entry in found.items()}
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise CheckpointWithoutAdapter(checkpoint=checkpoint_id) from error
    if not spans:
        raise CheckpointWithoutAdapter(checkpoint=checkpoint_id)
    names = sorted(spans, key=spans.__getitem__)  # in the order of the file
    own, offset = {"__metadata__": {"format": "pt"}}, 0
    for name in names:
        length = spans[name][1] - spans[name][0]
        own[name] = found[name] | {"data_offsets": [offset, offset + length]}
        offset += length
    head = json.dumps(own, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)  # the format aligns the tensors
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_entry(CONFIG_NAME), config)
        entry = _entry(WEIGHTS_NAME)
        entry.file_size = _LENGTH.size + len(head) + offset
        with archive.open(entry, "w") as packed:
            packed.write(_LENGTH.pack(len(head)) + head)
            for name in names:
                for chunk in _read(tensors, begin + spans[name][0], begin + spans[name][1]):
                    packed.write(chunk)


def _read_header(file: BinaryIO) -> tuple[int, Mapping[str, Any]]:
    """Return the offset of the tensors and the header of a safetensors file. Raises ValueError, TypeError or struct.error."""
    (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
    if length > MOST_HEADER_BYTES:
        raise ValueError(f"the header has {length} bytes")
    header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise TypeError("the header is not an object")
    return _LENGTH.size + length, header


def _span(entry: Mapping[str, Any]) -> tuple[int, int]:
    begin, end = (int(offset) for offset in entry["data_offsets"])
    if not 0 <= begin <= end:
        raise ValueError(f"a tensor is at {begin}:{end}")
    return begin, end


def _read(file: BinaryIO, begin: int, end: int) -> Iterator[bytes]:
    file.seek(begin)
    while begin < end:
        chunk = file.read(min(_CHUNK_BYTES, end - begin))
        if not chunk:
            raise OSError("a stored checkpoint is shorter than its header says")
        begin += len(chunk)
        yield chunk


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = 0o644 << 16
    return entry
