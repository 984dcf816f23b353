"""`stepline submit`: uploads the data, shows the plan, asks for confirmation, and submits the job."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from contracts.values.text import escape_lines
from stepline.terminal import exits
from stepline.terminal.completion import complete_data, complete_model
from stepline.terminal.display.figures import show_bytes, show_seconds
from stepline.terminal.display.wrapping import wrap
from stepline.terminal.screens.transfers import upload
from stepline.terminal.session import Session, client_command
from stepline.terminal.words import say

if TYPE_CHECKING:
    from stepline.client.views import Plan


@click.command(help=say("help.submit"))
@click.argument(
    "spec_file",
    metavar="[SPEC.json]",
    required=False,
    type=click.Path(exists=True, path_type=Path, dir_okay=False),
)
@click.option("--model", shell_complete=complete_model, help=say("option.model"))
@click.option("--data", metavar="FILE|ID", shell_complete=complete_data, help=say("option.data"))
@click.option(
    "--eval", "eval_data", metavar="FILE|ID", shell_complete=complete_data, help=say("option.eval")
)
@click.option("--preset", metavar="NAME", help=say("option.preset"))
@click.option("--name", help=say("option.name"))
@click.option("--set", "fields", multiple=True, metavar="FIELD=VALUE", help=say("option.set"))
@click.option("--dry-run", is_flag=True, help=say("option.dry_run"))
@click.option("--yes", "-y", is_flag=True, help=say("option.yes"))
@click.option("--watch", "-w", is_flag=True, help=say("option.watch"))
@client_command
def submit(
    session: Session,
    *,
    spec_file: Path | None,
    model: str | None,
    data: str | None,
    eval_data: str | None,
    preset: str | None,
    name: str | None,
    fields: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    watch: bool,
) -> int:
    """Submit a job."""
    spec = _read_spec(session, spec_file)
    given = {"model": model, "preset": preset, "name": name}
    spec |= {key: value for key, value in given.items() if value is not None}
    for field in fields:
        _set(session, spec, field)
    if spec_file is None and (model is None or data is None):
        raise click.UsageError(session.say("error.no_spec"))
    if not dry_run:
        session.require_answer(yes=yes)  # before a large file is uploaded
    _add_data(session, spec, {"train": data, "eval": eval_data})
    plan = session.client.plan(spec)
    if dry_run:
        if session.as_json:
            session.print_json(plan)
        else:
            _show_plan(session, plan)
        return exits.SUCCEEDED
    if not session.as_json:
        _show_plan(session, plan)
    if not session.confirm("ask.submit", yes=yes):
        session.tell("said.not_submitted")
        return exits.FAILED
    job = session.client.submit(spec)
    if watch:
        from stepline.terminal.commands.watch import watch_job  # noqa: PLC0415

        session.tell("said.submitted", job=job.id)
        return watch_job(session, job)
    if session.as_json:
        session.print_json(job.view)
    else:
        session.tell("said.submitted", job=job.id)
        session.tell("said.follow", job=job.id)
        session.print_id(job.id)
    return exits.SUCCEEDED


def _read_spec(session: Session, path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        spec = json.loads(path.read_bytes(), parse_constant=_reject)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(session.say("error.spec", path=path, reason=error)) from error
    if not isinstance(spec, dict):
        raise click.UsageError(session.say("error.spec", path=path, reason=type(spec).__name__))
    return spec


def _reject(constant: str) -> None:
    """Reject NaN and Infinity, which Python's parser accepts but JSON does not contain."""
    raise ValueError(constant)


def _set(session: Session, spec: dict[str, Any], given: str) -> None:
    """Set one field of the spec in place."""
    path, equals, text = given.partition("=")
    names = path.split(".")
    if not equals or not all(names):
        raise click.UsageError(session.say("error.set", value=given))
    inner = spec
    for name in names[:-1]:
        inner = inner.setdefault(name, {})
        if not isinstance(inner, dict):
            raise click.UsageError(session.say("error.set_path", value=given, field=name))
    try:
        inner[names[-1]] = json.loads(text, parse_constant=_reject)
    except (ValueError, RecursionError):
        inner[names[-1]] = text  # text needs no quotes


def _add_data(session: Session, spec: dict[str, Any], sources: dict[str, str | None]) -> None:
    """Add the ids of the given datasets to the spec in place, uploading files."""
    given = {key: source for key, source in sources.items() if source is not None}
    if given and not isinstance(spec.setdefault("dataset", {}), dict):
        raise click.UsageError(session.say("error.dataset_object"))
    for key, source in given.items():
        spec["dataset"][key] = _dataset_id(session, source)


def _dataset_id(session: Session, source: str) -> str:
    """Return the id of a dataset, uploading it if it is a file."""
    path = Path(source)
    if source.startswith("ds_") and not path.exists():
        return source
    if not path.is_file():
        raise click.UsageError(session.say("error.no_data", source=source))
    return upload(session, path).id


def _show_plan(session: Session, plan: "Plan") -> None:
    """Print the plan to standard error."""
    from rich.cells import cell_len  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(show_header=False, box=None, pad_edge=False)
    forecast = plan.forecast
    rows = [
        ("model", str(plan.spec.get("model"))),
        ("train_rows", _shown(session, plan.train_rows)),
        ("eval_rows", _shown(session, plan.eval_rows)),
        ("steps", _steps(session, plan)),
        ("time", _range(show_seconds, forecast.seconds.low, forecast.seconds.high, session)),
    ]
    if forecast.workers:
        first = forecast.workers[0]
        memory = _range(
            show_bytes, first.peak_memory_bytes.low, first.peak_memory_bytes.high, session
        )
        rows.append(("memory", f"{memory} / {show_bytes(first.memory_bytes)} ({first.device})"))
    notes = [*plan.data_warnings, *forecast.warnings]
    notes += [note for note in (plan.waiting, forecast.reason) if note is not None]
    rows += [("warning", note.message or note.code) for note in notes]
    margin = max(cell_len(session.say(key)) for key, _ in rows) + 2
    for key, value in rows:
        style = "yellow" if key == "warning" else ""
        lines = wrap(escape_lines(value), max(20, session.notes.width - margin))
        table.add_row(Text(session.say(key), style="bold"), Text("\n".join(lines), style=style))
    session.notes.print(table)


def _steps(session: Session, plan: "Plan") -> str:
    """Return the steps; a range for rows of plain text, whose number of samples is estimated."""
    about = plan.forecast.steps
    if plan.steps is not None or about is None or about.low is None or about.high is None:
        return _shown(session, plan.steps)
    return _range(lambda steps: f"{steps:.0f}", about.low, about.high, session)


def _shown(session: Session, count: int | None) -> str:
    return session.say("unknown") if count is None else str(count)


def _range(show: Any, low: float | None, high: float | None, session: Session) -> str:
    if low is None or high is None:
        return session.say("unknown")
    return str(show(low)) if show(low) == show(high) else f"{show(low)} – {show(high)}"
