"""`stepline watch`: follows a job until it ends."""

from typing import TYPE_CHECKING

import click

from stepline.terminal import exits
from stepline.terminal.completion import complete_job
from stepline.terminal.session import Session, client_command
from stepline.terminal.words import say

if TYPE_CHECKING:
    from stepline.client.job import Job


@click.command(help=say("help.watch"))
@click.argument("job", shell_complete=complete_job)
@click.option("--timeout", type=click.FloatRange(0), metavar="SECONDS", help=say("option.timeout"))
@client_command
def watch(session: Session, job: str, timeout: float | None) -> int:
    """Follow a job."""
    return watch_job(session, session.client.job(job), timeout)


def watch_job(session: Session, job: "Job", timeout_seconds: float | None = None) -> int:
    """Follow a job; return the exit status for the job's final status."""
    from stepline.client.errors import WaitTimeout  # noqa: PLC0415

    job.refresh()  # reports an unknown job or an unreachable server immediately
    try:
        if session.is_live:
            status = _watch_on_screen(session, job, timeout_seconds)
        else:
            status = _watch_in_lines(session, job, timeout_seconds)
    except WaitTimeout:
        session.tell("error.timeout", job=job.id, seconds=f"{timeout_seconds:g}")
        return exits.TIMED_OUT
    except KeyboardInterrupt:
        session.tell("said.interrupted", job=job.id)
        return exits.INTERRUPTED
    if status == "succeeded" and not session.as_json:
        session.tell("said.next", job=job.id)
    return exits.OF_STATUS[status]


def _watch_on_screen(session: Session, job: "Job", timeout_seconds: float | None) -> str:
    from rich.live import Live  # noqa: PLC0415

    from stepline.client.updates import Happened  # noqa: PLC0415
    from stepline.client.views import Columns  # noqa: PLC0415
    from stepline.terminal.screen import Screen  # noqa: PLC0415

    screen = Screen(session.language, job.id)
    # The history is sampled, so that a job with a million steps appears immediately; the stream continues after it.
    past = job.metrics()
    screen.add_series({name: Columns.model_validate(each) for name, each in past["series"].items()})
    for event in job.events():
        screen.add(Happened(event))
    with Live(screen, console=session.console, refresh_per_second=4) as live:
        with job.updates(past["cursor"], timeout_seconds) as updates:
            for update in updates:
                screen.add(update)
        final = job.refresh()
        screen.job = final
        live.refresh()
    return final.status.value


def _watch_in_lines(session: Session, job: "Job", timeout_seconds: float | None) -> str:
    from stepline.terminal.lines import Lines  # noqa: PLC0415

    return job.watch(Lines(session).add, timeout_seconds).status.value
