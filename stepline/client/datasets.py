"""Datasets of a service: upload, check, list, delete."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from contracts.dataset.status import DatasetStatus
from stepline.client.errors import DatasetRejected, SteplineError, WaitTimeout
from stepline.client.paging import read_pages
from stepline.client.parts import BLOCK_BYTES, LARGE_BYTES, Progress, upload_in_parts
from stepline.client.transport import Transport
from stepline.client.views import Dataset

_POLL_SECONDS = 0.5


class Datasets:
    """The datasets of a service."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def upload(
        self,
        file: Path | str,
        *,
        format: str | None = None,  # noqa: A002  # the name of the API's parameter
        columns: dict[str, str] | None = None,
        encoding: str | None = None,
        on_progress: Progress | None = None,
        on_check: Progress | None = None,
        wait_seconds: float | None = None,
        large_bytes: int = LARGE_BYTES,
    ) -> Dataset:
        """Upload a file and wait until the server has checked it. The same bytes with the same options are the same dataset.

        A file of at least `large_bytes` is sent in parts. `on_progress` is called with the bytes sent, and `on_check` with
        the bytes checked. Raises InvalidRequest or DatasetRejected if the file is not a valid dataset, and WaitTimeout if the check takes
        longer than `wait_seconds`.
        """
        path = Path(file)
        chosen = {"format": format, "encoding": encoding}
        params: dict[str, Any] = {name: value for name, value in chosen.items() if value}
        params |= {f"columns[{name}]": value for name, value in (columns or {}).items()}
        total = path.stat().st_size
        # A name on disk can contain bytes that are no text.
        name = path.name.encode(errors="replace").decode()
        with path.open("rb") as opened:
            if total >= large_bytes:
                found = upload_in_parts(
                    self._transport,
                    opened,
                    name,
                    total,
                    params=params,
                    on_progress=on_progress,
                )
                dataset = self.get(found)
            else:
                dataset = self._send(opened, total, params | {"filename": name}, on_progress)
        return self._wait(dataset, on_check, wait_seconds)

    def get(self, dataset_id: str) -> Dataset:
        """Return a dataset with its first rows. Raises NotFound if it does not exist."""
        return self._transport.read(Dataset, "GET", f"/v1/datasets/{quote(dataset_id, safe='')}")

    def list(self, search: str | None = None) -> Iterator[Dataset]:
        """Yield the datasets, newest first. `search`: part of the file's name or of the id."""
        params = {} if search is None else {"search": search}
        return read_pages(self._transport, Dataset, "/v1/datasets", params)

    def delete(self, dataset_id: str) -> None:
        """Delete a dataset. Raises Conflict while a job that has not ended uses it."""
        self._transport.send("DELETE", f"/v1/datasets/{quote(dataset_id, safe='')}")

    def preview(self, dataset_id: str, model: str, *, rows: int = 3, color: bool = False) -> str:
        """Return rows as text, rendered with the model's chat template. `color` adds a terminal's escape sequences."""
        params = {"model": model, "rows": rows, "format": "text", "color": str(color).lower()}
        path = f"/v1/datasets/{quote(dataset_id, safe='')}/preview"
        return self._transport.send("GET", path, params=params).text

    def _send(
        self, file: BinaryIO, total: int, params: dict[str, Any], on_progress: Progress | None
    ) -> Dataset:
        """Upload a file with one request. It can be retried, because the same bytes are the same dataset."""
        return self._transport.read_body(
            Dataset,
            "POST",
            "/v1/datasets",
            lambda: _blocks(file, total, on_progress),
            params=params,
            headers={"Content-Type": "application/octet-stream", "Content-Length": str(total)},
        )

    def _wait(
        self, dataset: Dataset, on_check: Progress | None, wait_seconds: float | None
    ) -> Dataset:
        deadline = None if wait_seconds is None else time.monotonic() + wait_seconds
        while dataset.status == DatasetStatus.VALIDATING:
            if deadline is not None and time.monotonic() > deadline:
                raise WaitTimeout(f"The server is still checking {dataset.id}")
            if on_check is not None and dataset.progress is not None:
                on_check(dataset.progress.bytes, dataset.bytes)
            time.sleep(_POLL_SECONDS)
            dataset = self.get(dataset.id)
        if dataset.status == DatasetStatus.FAILED and dataset.failure is not None:
            why = dataset.failure
            error = DatasetRejected(400, why.code, why.message, param=why.param, hint=why.hint)
            error.problems = dataset.problems
            raise error
        return dataset


def _blocks(file: BinaryIO, total: int, on_progress: Progress | None) -> Iterator[bytes]:
    """Yield the first `total` bytes of the file. What another program appends meanwhile is not sent."""
    file.seek(0)
    done = 0
    while done < total:
        block = file.read(min(BLOCK_BYTES, total - done))
        if not block:
            raise SteplineError("The file became shorter while it was uploaded. Upload it again")
        yield block
        done += len(block)
        if on_progress is not None:
            on_progress(done, total)
