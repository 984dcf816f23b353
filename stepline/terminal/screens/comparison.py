"""The table of `stepline compare`: results of jobs, and the settings in which they differ."""

from collections.abc import Callable, Sequence
from typing import Any

from stepline.client.views import JobView
from stepline.terminal.display.figures import show_loss, show_seconds, show_status
from stepline.terminal.session import Session


def print_comparison(session: Session, jobs: Sequence[JobView]) -> None:
    """Print a column for each job. The lowest losses are marked with an asterisk."""
    specs = [_flatten(job.spec | {"name": None}) for job in jobs]  # the first row shows the names
    fields = dict.fromkeys(name for spec in specs for name in spec)
    different = [name for name in fields if len({spec.get(name, "–") for spec in specs}) > 1]

    def row(key: str, show: Callable[[JobView], str]) -> list[str]:
        return [session.say(key), *(show(job) for job in jobs)]

    rows = [
        row("name", lambda job: job.name or ""),
        row("status", lambda job: show_status(job.status, session.language)),
        row("steps", lambda job: str(job.progress.step)),
        row("duration", lambda job: show_seconds(job.run_seconds if job.ended_at else None)),
        [session.say("loss"), *_mark_lowest([job.last_loss for job in jobs])],
        [session.say("eval_loss"), *_mark_lowest([job.eval_loss for job in jobs])],
        *([name, *(spec.get(name, "–") for spec in specs)] for name in different),
    ]
    titles = [session.say("job"), *(job.id for job in jobs)]
    session.print_rows(titles, rows, shortened=range(1, len(titles)))


def _mark_lowest(losses: Sequence[float | None]) -> list[str]:
    lowest = min((loss for loss in losses if loss is not None), default=None)
    is_known = len({loss for loss in losses if loss is not None}) > 1
    return [show_loss(loss) + (" *" if is_known and loss == lowest else "") for loss in losses]


def _flatten(spec: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return the fields of a spec by their dotted paths."""
    flat: dict[str, str] = {}
    for name, value in spec.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = str(value)
    return flat
