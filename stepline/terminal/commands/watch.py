"""`stepline watch`: follows a job until it ends."""

import time
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

    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    follow = _watch_on_screen if session.is_live else _watch_in_lines
    try:
        job.refresh(timeout_seconds)  # reports an unknown job or an unreachable server immediately
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            status = follow(session, job, left)
            if status in exits.OF_STATUS:
                break  # else another user has resumed or retried the job at this moment
    except WaitTimeout:
        return session.fail(
            "timeout",
            session.say("error.timeout", job=job.id, seconds=f"{timeout_seconds:g}"),
            exits.TIMED_OUT,
        )
    except KeyboardInterrupt:
        session.tell("said.interrupted", job=job.id)
        return exits.INTERRUPTED
    except BrokenPipeError:
        # For example, because of `| head`: the job has not ended, so the exit status must not say that it succeeded.
        session.drop_output()
        return exits.INTERRUPTED
    if status == "succeeded" and not session.as_json:
        session.tell("said.next", job=job.id)
    return exits.OF_STATUS[status]


def _watch_on_screen(session: Session, job: "Job", timeout_seconds: float | None) -> str:
    from rich.live import Live  # noqa: PLC0415

    from stepline.client.updates import Happened  # noqa: PLC0415
    from stepline.client.views import Columns  # noqa: PLC0415
    from stepline.terminal.screens.job import Screen  # noqa: PLC0415

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
    from stepline.terminal.screens.lines import Lines  # noqa: PLC0415

    return job.watch(Lines(session).add, timeout_seconds).status.value
