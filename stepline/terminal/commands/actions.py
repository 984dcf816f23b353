"""Commands that change jobs: cancel, pause, resume, retry, delete. Each takes one or more jobs."""

from collections.abc import Callable

import click

from stepline.terminal import exits
from stepline.terminal.completion import complete_job
from stepline.terminal.display.figures import show_status
from stepline.terminal.session import Session, client_command, run_safely
from stepline.terminal.words import say


def _action(name: str) -> click.Command:
    """Return the command that requests an action on jobs from the server."""

    @client_command
    def run(session: Session, jobs: tuple[str, ...]) -> int:
        return act_on_each(session, jobs, lambda job_id: _act(session, name, job_id))

    argument = click.argument(
        "jobs", metavar="JOB...", nargs=-1, required=True, shell_complete=complete_job
    )
    return click.command(name, help=say(f"help.{name}"))(argument(run))


cancel = _action("cancel")
pause = _action("pause")
resume = _action("resume")
retry = _action("retry")


@click.command(help=say("help.delete"))
@click.argument("jobs", metavar="JOB...", nargs=-1, required=True, shell_complete=complete_job)
@click.option("--yes", "-y", is_flag=True, help=say("option.yes"))
@client_command
def delete(session: Session, jobs: tuple[str, ...], *, yes: bool) -> int:
    """Delete jobs."""
    if not session.confirm("ask.delete", yes=yes, what=", ".join(jobs)):
        return exits.FAILED
    return act_on_each(session, jobs, lambda job_id: _delete(session, job_id))


def act_on_each(session: Session, ids: tuple[str, ...], act: Callable[[str], None]) -> int:
    """Act on each object, even if the server rejects one; return the exit status of the first failure.

    Stop at Ctrl-C, and if the server cannot be reached.
    """
    first = exits.SUCCEEDED
    for object_id in ids:
        status = run_safely(session, lambda object_id=object_id: act(object_id))  # type: ignore[misc]
        first = first or status
        if status in {exits.INTERRUPTED, exits.UNREACHABLE}:
            break
    return first


def _act(session: Session, name: str, job_id: str) -> None:
    job = session.client.job(job_id)
    view = {"cancel": job.cancel, "pause": job.pause, "resume": job.resume, "retry": job.retry}[
        name
    ]()
    pending = view.cancel_requested_at if name == "cancel" else view.pause_requested_at
    if session.as_json:
        session.print_json(view)
    elif pending and name in {"cancel", "pause"} and view.status == "running":
        session.print_text(session.say(f"said.asked.{name}", job=job_id))
    else:
        status = show_status(view.status, session.language)
        session.print_text(session.say("said.action", job=job_id, status=status))


def _delete(session: Session, job_id: str) -> None:
    session.client.job(job_id).delete()
    if session.as_json:
        session.print_json({"id": job_id, "deleted": True})
    else:
        session.print_text(session.say("said.deleted", id=job_id))
