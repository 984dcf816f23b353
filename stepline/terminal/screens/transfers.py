"""Progress bars for uploads and downloads, on standard error."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts.values.text import escape
from stepline.terminal.display.figures import show_bytes
from stepline.terminal.session import Session

if TYPE_CHECKING:
    from stepline.client.views import Dataset


def upload(session: Session, file: Path, **options: Any) -> "Dataset":
    """Upload a dataset with a progress bar."""
    with progress_bar(session) as show:
        dataset = session.client.datasets.upload(
            file,
            on_progress=lambda done, total: show("said.uploading", file.name, done, total),
            on_check=lambda done, total: show("said.checking", file.name, done, total),
            **options,
        )
    if not session.as_json:
        session.tell("said.dataset", id=dataset.id, rows=dataset.rows)
    return dataset


@contextmanager
def progress_bar(session: Session) -> Iterator[Any]:
    """Yield a function that updates a bar; its arguments are the sentence's key, the file, the bytes done, and the bytes in total."""
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text  # noqa: PLC0415

    class SpeedColumn(ProgressColumn):
        """The speed in the units of the sizes; rich's own column shows powers of ten."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{show_bytes(speed)}/s")

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        SpeedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(
        *columns, console=session.notes, transient=True, disable=not session.notes.is_terminal
    )
    tasks: dict[str, Any] = {}

    def show(key: str, file: str, done: int, total: int) -> None:
        if key not in tasks:
            tasks[key] = bar.add_task(session.say(key, file=escape(file)), total=total)
        bar.update(tasks[key], completed=done, total=total)

    with bar:
        yield show
