"""`stepline jobs`: a table of jobs."""

from itertools import islice
from typing import TYPE_CHECKING

import click

from stepline.terminal import exits
from stepline.terminal.session import Session, client_command
from stepline.terminal.words import say

if TYPE_CHECKING:
    from stepline.client.views import JobView

STATUSES = ("queued", "running", "paused", "succeeded", "failed", "cancelled")


@click.command(help=say("help.jobs"))
@click.option("--status", type=click.Choice(STATUSES), multiple=True, help=say("option.status"))
@click.option("--label", multiple=True, metavar="KEY[:VALUE]", help=say("option.label"))
@click.option("--search", metavar="TEXT", help=say("option.search"))
@click.option("--sort", metavar="ORDER", help=say("option.sort"))
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help=say("option.limit")
)
@click.option("--watch", "-w", is_flag=True, help=say("option.refresh"))
@client_command
def jobs(
    session: Session,
    *,
    status: tuple[str, ...],
    label: tuple[str, ...],
    search: str | None,
    sort: str | None,
    limit: int,
    watch: bool,
) -> int:
    """List jobs."""
    from stepline.terminal.screens.overview import print_jobs, watch_jobs  # noqa: PLC0415

    def read() -> "tuple[list[JobView], bool]":
        found = session.client.jobs(
            status=status, labels=label, search=search, sort=sort, page_size=min(limit + 1, 100)
        )
        listed = list(islice(found, limit + 1))
        return listed[:limit], len(listed) > limit

    if watch:
        watch_jobs(session, read)
    found, has_more = read()
    if session.as_json:
        session.print_json(found)
    else:
        print_jobs(session, found, has_more=has_more)
    return exits.SUCCEEDED
