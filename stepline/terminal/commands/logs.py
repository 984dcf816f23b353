"""`stepline logs`: prints a job's log, optionally while it grows."""

import time
from typing import TYPE_CHECKING

import click

from stepline.terminal import exits
from stepline.terminal.completion import complete_job
from stepline.terminal.session import Session, client_command
from stepline.terminal.words import say

if TYPE_CHECKING:
    from stepline.client.views import LogLine

POLL_SECONDS = 1.0


@click.command(help=say("help.logs"))
@click.argument("job", shell_complete=complete_job)
@click.option("--follow", "-f", is_flag=True, help=say("option.follow"))
@client_command
def logs(session: Session, job: str, *, follow: bool) -> int:
    """Print a job's log."""
    from stepline.terminal.patience import read_patiently  # noqa: PLC0415

    found = session.client.job(job)
    found.refresh()  # reports an unknown job or an unreachable server at once
    cursor: str | None = None

    def read() -> "tuple[bool, list[LogLine], str | None, bool]":
        # The status is read before the lines, so that no line is missed.
        is_settled = found.refresh().is_settled
        lines, after, has_more = found.log_page(cursor)
        return is_settled, lines, after, has_more

    while True:
        is_settled, lines, cursor, has_more = (
            read_patiently(read, session.tell_connection) if follow else read()
        )
        for line in lines:
            if session.as_json:
                session.print_json(line)
            else:
                session.print_text(line.text)
        if has_more:
            continue
        if is_settled or not follow:
            return exits.SUCCEEDED
        time.sleep(POLL_SECONDS)
