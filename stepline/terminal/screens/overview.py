"""The table of jobs, once or refreshed until Ctrl-C."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from contracts.values.text import escape
from stepline.client.views import JobView
from stepline.terminal.display.figures import (
    show_loss,
    show_progress,
    show_seconds,
    show_status,
    show_time,
    status_colors,
)
from stepline.terminal.patience import read_patiently
from stepline.terminal.session import Session

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

REFRESH_SECONDS = 2.0
COLUMNS = ("job", "name", "status", "progress", "left", "loss", "eval_loss", "model", "created")
LEFT_OUT = ("created", "model", "left", "loss", "name", "eval_loss", "progress", "status")
"""Columns that a narrow terminal does not show; the first one is left out first."""
SHORTENED = ("name", "model")

Read = Callable[[], tuple[Sequence[JobView], bool]]
"""Returns the jobs to show, and whether there are more."""


def cells_of(session: Session, job: JobView) -> list[str]:
    """Return the row of a job."""
    language = session.language
    return [
        job.id,
        job.name or "",
        show_status(job.status, language),
        show_progress(job, language),
        "–" if job.is_settled else show_seconds(job.eta_seconds),
        show_loss(job.last_loss),
        show_loss(job.eval_loss),
        str(job.spec.get("model", "")),
        show_time(job.created_at),
    ]


def print_jobs(session: Session, jobs: Sequence[JobView], *, has_more: bool) -> None:
    """Print the table once."""
    session.print_table(
        COLUMNS,
        [cells_of(session, job) for job in jobs],
        left_out=LEFT_OUT,
        shortened=SHORTENED,
        colors=status_colors(session.language),
    )
    if has_more:
        session.tell("said.more")


def watch_jobs(session: Session, read: Read) -> None:
    """Show the table and refresh it, until KeyboardInterrupt.

    Outside a terminal, print a line for each job whose status has changed, and for all jobs at first. Raises as
    `read_patiently`.
    """
    if session.is_live:
        _watch_on_screen(session, read)
    else:
        _watch_in_lines(session, read)


def _watch_on_screen(session: Session, read: Read) -> None:
    from rich.live import Live  # noqa: PLC0415

    overview = Overview(session)
    overview.jobs, overview.has_more = read()  # reports an unreachable server at once
    with Live(overview, console=session.console, refresh_per_second=4):
        while True:
            time.sleep(REFRESH_SECONDS)
            overview.jobs, overview.has_more = read_patiently(read, overview.show_connection)


def _watch_in_lines(session: Session, read: Read) -> None:
    seen: dict[str, str] = {}

    jobs, _ = read()
    while True:
        for job in reversed(jobs):  # the oldest first
            if seen.get(job.id) != job.status:
                seen[job.id] = job.status
                if session.as_json:
                    session.print_json(job)
                else:
                    click.echo("\t".join(escape(cell) for cell in cells_of(session, job)))
        time.sleep(REFRESH_SECONDS)
        jobs, _ = read_patiently(read, session.tell_connection)


class Overview:
    """The table, as a rich renderable that fits the terminal's height."""

    def __init__(self, session: Session) -> None:
        self.jobs: Sequence[JobView] = ()
        self.has_more = False
        self._is_connected = True
        self._session = session

    def show_connection(self, is_connected: bool) -> None:
        """Say below the table whether the connection is lost."""
        self._is_connected = is_connected

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        """Draw the table."""
        from rich.text import Text  # noqa: PLC0415

        from stepline.terminal.display.tables import Fit, make_table  # noqa: PLC0415

        room = max(1, console.size.height - 4)
        rows = [[escape(cell) for cell in cells_of(self._session, job)] for job in self.jobs[:room]]
        if not rows:
            yield Text(self._session.say("said.none"))
        else:
            titles = [self._session.say(name) for name in COLUMNS]
            fit = Fit(
                [COLUMNS.index(name) for name in LEFT_OUT],
                [COLUMNS.index(name) for name in SHORTENED],
            )
            colors = status_colors(self._session.language)
            yield make_table(titles, rows, options.max_width, fit, colors)
        if self.has_more or len(self.jobs) > room:
            yield Text(self._session.say("said.more_below"), style="dim")
        if not self._is_connected:
            yield Text(self._session.say("said.lost"), style="yellow")
        else:
            yield Text(self._session.say("said.refreshing"), style="dim")
