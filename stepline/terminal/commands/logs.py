"""`stepline logs`: a job's log, also while it grows."""

import time

import click

from stepline.terminal import exits
from stepline.terminal.completion import complete_job
from stepline.terminal.session import Session, client_command
from stepline.terminal.words import say

POLL_SECONDS = 1.0


@click.command(help=say("help.logs"))
@click.argument("job", shell_complete=complete_job)
@click.option("--follow", "-f", is_flag=True, help=say("option.follow"))
@client_command
def logs(session: Session, job: str, *, follow: bool) -> int:
    """Print a job's log."""
    from contracts.values.text import escape_lines  # noqa: PLC0415

    found = session.client.job(job)
    cursor: str | None = None
    while True:
        is_settled = found.refresh().is_settled  # read before the lines, so that none is missed
        for lines, after in found.log_pages(cursor):
            cursor = after
            for line in lines:
                if session.as_json:
                    session.print_json(line)
                else:
                    click.echo(escape_lines(line.text))
        if is_settled or not follow:
            return exits.SUCCEEDED
        time.sleep(POLL_SECONDS)
