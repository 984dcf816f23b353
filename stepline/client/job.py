"""Job: one job of a service, with the actions and files that the API offers for it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from contracts.job_status import JobStatus
from contracts.protocol.wire import ADAPTER_ARTIFACT
from contracts.values.text import find_unsafe
from stepline.client.downloads import download
from stepline.client.errors import SteplineError
from stepline.client.paging import read_pages
from stepline.client.transport import Transport
from stepline.client.updates import Update, Updates
from stepline.client.views import Artifact, Event, JobView, LogLine, Page, View

Action = Literal["cancel", "pause", "resume", "retry"]


class Job:
    """A job. `view` is its state as last read from the server; `refresh` reads it again."""

    def __init__(self, transport: Transport, job_id: str, view: JobView | None = None) -> None:
        self.id = job_id
        self._transport = transport
        self._view = view

    @property
    def view(self) -> JobView:
        """The job as last read from the server."""
        return self._view if self._view is not None else self.refresh()

    @property
    def status(self) -> JobStatus:
        """The status of `view`."""
        return self.view.status

    def refresh(self, timeout_seconds: float | None = None) -> JobView:
        """Read the job from the server and return it. Raises NotFound if it does not exist.

        Raises WaitTimeout if the server does not answer within `timeout_seconds`.
        """
        with self._transport.limited(timeout_seconds):
            self._view = self._transport.read(JobView, "GET", self._path)
        return self._view

    def updates(self, since: str | None = None, timeout_seconds: float | None = None) -> Updates:
        """Return the job's updates from its start, or after the cursor `since` (`now` means only new ones)."""
        return Updates(self._transport, self.id, since, timeout_seconds)

    def watch(
        self,
        on_update: Callable[[Update], object] | None = None,
        timeout_seconds: float | None = None,
    ) -> JobView:
        """Wait until the job has ended or is paused, and return it. Until then, `on_update` is called with each update.

        If the connection is lost, the client reconnects. Raises WaitTimeout after `timeout_seconds`; the job continues.
        """
        since = None if on_update is not None else "now"
        with self.updates(since, timeout_seconds) as updates:
            for update in updates:
                if on_update is not None:
                    on_update(update)
        return self.refresh()

    def cancel(self) -> JobView:
        """Cancel the job. It becomes `cancelled` once its training process has ended."""
        return self._act("cancel")

    def pause(self) -> JobView:
        """Pause the job. It becomes `paused` once its attempt has written a checkpoint and ended."""
        return self._act("pause")

    def resume(self) -> JobView:
        """Queue a paused job again."""
        return self._act("resume")

    def retry(self) -> JobView:
        """Queue a failed or cancelled job again."""
        return self._act("retry")

    def delete(self) -> None:
        """Delete the job with its history and files. Raises Conflict while it is running."""
        self._transport.send("DELETE", self._path)

    def edit(self, **changes: Any) -> JobView:
        """Change `name`, `labels`, `notes`, `archived` or `priority`, and return the job."""
        self._view = self._transport.read(JobView, "PATCH", self._path, json=changes)
        return self._view

    def events(self) -> Iterator[Event]:
        """Yield the job's messages to users, oldest first."""
        return read_pages(self._transport, Event, f"{self._path}/events", {"limit": 1000})

    def logs(self) -> Iterator[LogLine]:
        """Yield the lines that the job has logged so far, oldest first."""
        cursor: str | None = None
        has_more = True
        while has_more:
            lines, cursor, has_more = self.log_page(cursor)
            yield from lines

    def log_page(self, cursor: str | None = None) -> tuple[list[LogLine], str | None, bool]:
        """Return up to 5,000 lines of the log after `cursor`, the cursor after them, and whether there are more."""
        params = {"limit": 5000} | ({} if cursor is None else {"cursor": cursor})
        page = self._transport.read(Page[LogLine], "GET", f"{self._path}/logs", params=params)
        return page.data, page.cursor or cursor, page.has_more

    def metrics(self, names: str = "", max_points: int = 500) -> dict[str, Any]:
        """Return sampled series of the job so far, and a `cursor` for `updates`. docs/api.md describes the response."""
        params: dict[str, Any] = {"max_points": max_points}
        if names:
            params["names"] = names
        return self._transport.read(
            View, "GET", f"{self._path}/metrics", params=params
        ).model_dump()

    def summary(self) -> dict[str, Any]:
        """Return the summary of a job that has succeeded. Raises Conflict if there is no summary."""
        return self._transport.read(View, "GET", f"{self._path}/summary").model_dump()

    def report(self, language: str = "en", kind: str = "text/plain") -> str:
        """Return the report, in `en` or `zh`, as boxed text or as `text/markdown`."""
        return self._transport.send(
            "GET", f"{self._path}/summary", params={"lang": language}, headers={"Accept": kind}
        ).text

    def artifacts(self) -> list[Artifact]:
        """Return the job's files."""
        return self._transport.read(Page[Artifact], "GET", f"{self._path}/artifacts").data

    def download(
        self,
        target: Path | str,
        name: str = ADAPTER_ARTIFACT,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> Path:
        """Download a file of the job and return its path. If `target` is a directory, the file is named after the job's id and the artifact.

        An existing file is replaced. The file appears only when it is complete and its SHA-256 is correct. A repetition of an interrupted download
        continues it. `on_progress` is called with the bytes so far and in total. Raises NotFound if the job has no such file.
        """
        path = _target(target, f"{self.id}-{name}")
        artifact = next((each for each in self.artifacts() if each.name == name), None)
        url = f"{self._path}/artifacts/{quote(name, safe='')}"
        if artifact is None:
            self._transport.send("GET", url)  # raises the server's error
            raise SteplineError(f"{self.id} has no file {name}")  # it has appeared just now
        download(self._transport, url, artifact, path, on_progress)
        return path

    def _act(self, action: Action) -> JobView:
        self._view = self._transport.read(JobView, "POST", f"{self._path}/{action}")
        return self._view

    @property
    def _path(self) -> str:
        return f"/v1/jobs/{quote(self.id, safe='')}"


def _target(target: Path | str, name: str) -> Path:
    """Return the path to write to: `name` in the directory `target`, or the file `target`.

    A device or a pipe is not accepted, because the complete file would replace it. `name` must stay in its directory:
    the job's id and the artifact's name may come from the server.
    """
    path = Path(target)
    if path.is_dir():
        if "/" in name or "\\" in name or find_unsafe(name) is not None:
            raise SteplineError(f"{name!r} cannot be the name of a file. Give the path of a file")
        path /= name
    elif str(target).endswith(("/", os.sep)) or not path.parent.is_dir():
        missing = path.parent if not path.parent.is_dir() else path
        raise SteplineError(f"The directory {missing} does not exist")
    if path.exists() and not path.is_file():
        raise SteplineError(f"{path} is not a file. Give the path of a file or of a directory")
    return path
