"""Downloads one file of a job. An interrupted download continues where it ended, also in a later call."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import httpx2

from stepline.client.errors import ServerUnreachable, SteplineError, Unavailable
from stepline.client.transport import Transport
from stepline.client.views import Artifact

BLOCK_BYTES = 1 << 20


def download(
    transport: Transport,
    url: str,
    artifact: Artifact,
    path: Path,
    on_progress: Callable[[int, int], object] | None = None,
) -> None:
    """Download an artifact to `path`, which appears when the file is complete and its SHA-256 is correct.

    Until then, the bytes are in the file `partial_path`. A lost connection is restored as `Transport.send` does; an
    attempt that received bytes does not count. Raises ServerUnreachable, ApiError, OSError, or SteplineError if the
    bytes are wrong; the partial file is then deleted.
    """
    partial = partial_path(path, artifact)
    # "r+b" keeps the bytes of an earlier call.
    with partial.open("r+b" if partial.exists() else "w+b") as file:
        received = _Received(file, artifact)
        failures = 0
        while received.is_short:
            start = received.bytes
            try:
                received.receive(transport, url, on_progress)
                break
            except (ServerUnreachable, Unavailable):
                failures = 1 if received.bytes > start else failures + 1
                if failures >= transport.attempts:
                    raise
                transport.wait(failures)
    if received.sha256 != artifact.sha256:
        partial.unlink()
        raise SteplineError(
            f"{artifact.name} was damaged in transit (SHA-256 {received.sha256}, expected {artifact.sha256}). "
            "Download it again"
        )
    partial.replace(path)


def partial_path(path: Path, artifact: Artifact) -> Path:
    """Return the file with the bytes of an incomplete download.

    Its name contains the hash of the content, because a retried job replaces its files.
    """
    return path.with_name(f"{path.name}.{artifact.sha256[:8]}.part")


class _Received:
    """The bytes of an artifact that have been received, in a file, and their digest."""

    def __init__(self, file: BinaryIO, artifact: Artifact) -> None:
        self._file = file
        self._artifact = artifact
        self._digest = hashlib.sha256()
        while block := file.read(BLOCK_BYTES):
            self._digest.update(block)
        self.bytes = file.tell()
        if self.bytes > artifact.bytes:
            self._restart()

    @property
    def is_short(self) -> bool:
        """Whether bytes are missing."""
        return self.bytes < self._artifact.bytes

    @property
    def sha256(self) -> str:
        """The digest of the bytes, in hexadecimal."""
        return self._digest.hexdigest()

    def receive(
        self, transport: Transport, url: str, on_progress: Callable[[int, int], object] | None
    ) -> None:
        """Receive the missing bytes with one request."""
        headers = {"Accept-Encoding": "identity"}
        if self.bytes:
            headers["Range"] = f"bytes={self.bytes}-"
            headers["If-Range"] = f'"{self._artifact.sha256}"'
        with transport.stream("GET", url, headers=headers) as response:
            if self.bytes and response.status_code != httpx2.codes.PARTIAL_CONTENT:
                self._restart()  # the artifact has changed, or a proxy does not support ranges
            for block in response.iter_bytes():  # as they arrive: a lost connection loses no bytes
                self._file.write(block)
                self._digest.update(block)
                self.bytes += len(block)
                if on_progress is not None:
                    on_progress(self.bytes, self._artifact.bytes)
                if self.bytes > self._artifact.bytes:
                    break  # another file; its digest will differ

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()
        self.bytes = 0
