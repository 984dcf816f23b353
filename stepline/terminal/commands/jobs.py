"""`stepline jobs`: a table of jobs."""

from itertools import islice

import click

from stepline.terminal import exits
from stepline.terminal.figures import show_loss, show_progress, show_status, show_time
from stepline.terminal.session import Session, client_command
from stepline.terminal.words import say

STATUSES = ("queued", "running", "paused", "succeeded", "failed", "cancelled")


@click.command(help=say("help.jobs"))
@click.option("--status", type=click.Choice(STATUSES), multiple=True, help=say("option.status"))
@click.option("--label", multiple=True, metavar="KEY[:VALUE]", help=say("option.label"))
@click.option("--search", metavar="TEXT", help=say("option.search"))
@click.option("--sort", metavar="ORDER", help=say("option.sort"))
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help=say("option.limit")
)
@client_command
def jobs(
    session: Session,
    *,
    status: tuple[str, ...],
    label: tuple[str, ...],
    search: str | None,
    sort: str | None,
    limit: int,
) -> int:
    """List jobs."""
    found = session.client.jobs(
        status=status, labels=label, search=search, sort=sort, page_size=min(limit + 1, 100)
    )
    listed = list(islice(found, limit + 1))
    shown = listed[:limit]
    if session.as_json:
        session.print_json(shown)
        return exits.SUCCEEDED
    session.print_table(
        ["job", "name", "status", "progress", "loss", "eval_loss", "model", "created"],
        [
            [
                job.id,
                job.name or "",
                show_status(job.status, session.language),
                show_progress(job, session.language),
                show_loss(job.last_loss),
                show_loss(job.eval_loss),
                str(job.spec.get("model", "")),
                show_time(job.created_at),
            ]
            for job in shown
        ],
    )
    if len(listed) > limit:
        session.tell("said.more")
    return exits.SUCCEEDED
