"""`stepline datasets`: upload, list, preview, delete."""

from itertools import islice
from pathlib import Path

import click

from stepline.terminal import exits
from stepline.terminal.commands.actions import act_on_each
from stepline.terminal.completion import complete_dataset, complete_model
from stepline.terminal.display.figures import show_bytes, show_status, show_time
from stepline.terminal.screens.transfers import upload as upload_file
from stepline.terminal.session import Session, client_command
from stepline.terminal.words import say


@click.group(help=say("help.datasets"))
def datasets() -> None:
    """Group the commands below."""


@datasets.command(help=say("help.datasets.upload"))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", "row_format", metavar="NAME", help=say("option.format"))
@click.option("--column", "columns", multiple=True, metavar="KEY=NAME", help=say("option.column"))
@click.option("--encoding", metavar="NAME", help=say("option.encoding"))
@client_command
def upload(
    session: Session,
    file: Path,
    row_format: str | None,
    columns: tuple[str, ...],
    encoding: str | None,
) -> int:
    """Upload a file."""
    names = {key: name for key, _, name in (column.partition("=") for column in columns)}
    if not all(key and name for key, name in names.items()):
        raise click.UsageError(session.say("error.column"))
    dataset = upload_file(session, file, format=row_format, columns=names, encoding=encoding)
    if session.as_json:
        session.print_json(dataset)
    else:
        session.print_id(dataset.id)
    return exits.SUCCEEDED


@datasets.command("list", help=say("help.datasets.list"))
@click.option("--search", metavar="TEXT", help=say("option.search"))
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help=say("option.limit")
)
@client_command
def list_datasets(session: Session, search: str | None, limit: int) -> int:
    """List datasets."""
    found = list(islice(session.client.datasets.list(search), limit))
    if session.as_json:
        session.print_json(found)
        return exits.SUCCEEDED
    session.print_table(
        ["dataset", "file", "status", "rows", "size", "created"],
        [
            [
                each.id,
                each.filename,
                show_status(each.status, session.language),
                str(each.rows),
                show_bytes(each.bytes),
                show_time(each.created_at),
            ]
            for each in found
        ],
        left_out=["size", "created", "status"],
        shortened=["file"],
    )
    return exits.SUCCEEDED


@datasets.command(help=say("help.datasets.preview"))
@click.argument("dataset", shell_complete=complete_dataset)
@click.option("--model", required=True, shell_complete=complete_model, help=say("option.model"))
@click.option(
    "--rows", type=click.IntRange(1), default=3, show_default=True, help=say("option.rows")
)
@client_command
def preview(session: Session, dataset: str, model: str, rows: int) -> int:
    """Show rows as the model sees them."""
    color = session.is_terminal and session.console.color_system is not None
    text = session.client.datasets.preview(dataset, model, rows=rows, color=color)
    if session.as_json:
        session.print_json({"text": text})
    else:
        session.print_colored(text)
    return exits.SUCCEEDED


@datasets.command(help=say("help.datasets.delete"))
@click.argument(
    "ids", metavar="DATASET...", nargs=-1, required=True, shell_complete=complete_dataset
)
@click.option("--yes", "-y", is_flag=True, help=say("option.yes"))
@client_command
def delete(session: Session, ids: tuple[str, ...], *, yes: bool) -> int:
    """Delete datasets."""
    if not session.confirm("ask.delete", yes=yes, what=", ".join(ids)):
        return exits.FAILED
    return act_on_each(session, ids, lambda dataset_id: _delete(session, dataset_id))


def _delete(session: Session, dataset_id: str) -> None:
    session.client.datasets.delete(dataset_id)
    if session.as_json:
        session.print_json({"id": dataset_id, "deleted": True})
    else:
        session.print_text(session.say("said.deleted", id=dataset_id))
