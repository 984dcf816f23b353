"""`stepline report`, `compare` and `download`: what a job has produced."""

import click

from stepline.terminal import exits
from stepline.terminal.completion import complete_job
from stepline.terminal.display.figures import show_bytes
from stepline.terminal.screens.transfers import progress_bar
from stepline.terminal.session import Session, client_command
from stepline.terminal.words import say


@click.command(help=say("help.report"))
@click.argument("job", shell_complete=complete_job)
@click.option("--markdown", is_flag=True, help=say("option.markdown"))
@client_command
def report(session: Session, job: str, *, markdown: bool) -> int:
    """Print the report."""
    found = session.client.job(job)
    if session.as_json:
        session.print_json(found.summary())
    else:
        kind = "text/markdown" if markdown else "text/plain"
        session.print_text(found.report(session.language, kind).rstrip("\n"))
    return exits.SUCCEEDED


@click.command(help=say("help.compare"))
@click.argument("jobs", metavar="JOB JOB...", nargs=-1, required=True, shell_complete=complete_job)
@client_command
def compare(session: Session, jobs: tuple[str, ...]) -> int:
    """Show results, and the settings in which the jobs differ."""
    if len(jobs) < 2:
        raise click.UsageError(session.say("error.compare_one"))
    views = [session.client.job(job_id).refresh() for job_id in jobs]
    if session.as_json:
        session.print_json(views)
    else:
        from stepline.terminal.screens.comparison import print_comparison  # noqa: PLC0415

        print_comparison(session, views)
    return exits.SUCCEEDED


@click.command(help=say("help.download"))
@click.argument("job", shell_complete=complete_job)
@click.option("--file", "name", default="adapter.zip", metavar="NAME", help=say("option.file"))
@click.option("--output", "-o", type=click.Path(), default=".", help=say("option.output"))
@client_command
def download(session: Session, job: str, name: str, output: str) -> int:
    """Download a file of a job."""
    try:
        with progress_bar(session) as show:
            path = session.client.job(job).download(
                output, name, lambda done, total: show("said.downloading", name, done, total)
            )
    except KeyboardInterrupt:
        session.tell("said.download_interrupted")
        return exits.INTERRUPTED
    if session.as_json:
        session.print_json({"path": str(path), "bytes": path.stat().st_size})
    else:
        session.print_text(
            session.say("said.saved", path=path, size=show_bytes(path.stat().st_size))
        )
    return exits.SUCCEEDED
