"""Session: one invocation of a command. It holds the address, the language and the output, and ends with an exit status."""

import functools
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from stepline.terminal import exits
from stepline.terminal.config import DEFAULT_SERVER, read_config
from stepline.terminal.language import LANGUAGES, Language, choose_language
from stepline.terminal.words import say

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console

    from stepline.client.client import Client


class Session:
    """The options that all commands share, for this invocation."""

    def __init__(self, server: str | None, lang: str | None, *, as_json: bool) -> None:
        self.language: Language = choose_language(lang)
        self.server = (
            server
            or os.environ.get("STEPLINE_SERVER_URL")
            or read_config().get("server")
            or DEFAULT_SERVER
        )
        self.as_json = as_json

    @functools.cached_property
    def client(self) -> "Client":
        """The client of the service. The HTTP library is loaded here, not at the start."""
        from stepline.client.client import Client  # noqa: PLC0415

        return Client(self.server, self.language, attempts=3)

    @functools.cached_property
    def console(self) -> "Console":
        """Standard output."""
        from rich.console import Console  # noqa: PLC0415

        return Console(highlight=False)

    @functools.cached_property
    def notes(self) -> "Console":
        """Standard error, for progress and messages, so that standard output holds only results."""
        from rich.console import Console  # noqa: PLC0415

        return Console(stderr=True, highlight=False)

    def say(self, key: str, /, **values: object) -> str:
        """Return a sentence in the session's language."""
        return say(key, self.language, **values)

    def tell(self, key: str, /, **values: object) -> None:
        """Print a sentence to standard error."""
        click.echo(self.say(key, **values), err=True)

    def print_json(self, content: "BaseModel | dict[str, Any] | Sequence[BaseModel]") -> None:
        """Print a result as one line of JSON. A list is `{"data": […]}`."""
        if isinstance(content, dict):
            found: Any = content
        elif isinstance(content, Sequence):
            found = {"data": [each.model_dump(mode="json") for each in content]}
        else:
            found = content.model_dump(mode="json")
        click.echo(json.dumps(found, ensure_ascii=False))

    def print_table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table; outside a terminal, print tab-separated cells, one row per line. Cells are escaped."""
        from contracts.values.text import escape  # noqa: PLC0415

        names = [self.say(column) for column in columns]
        cells = [[escape(cell) for cell in row] for row in rows]
        if not self.console.is_terminal:
            for line in [names, *cells]:
                click.echo("\t".join(line))
            return
        if not cells:
            click.echo(self.say("said.none"))
            return
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table(box=None, pad_edge=False, header_style="bold")
        for number, name in enumerate(names):
            # The first column is an id, which must not be truncated, because users copy it.
            table.add_column(
                name, overflow="fold" if number == 0 else "ellipsis", no_wrap=number == 0
            )
        for row in cells:
            table.add_row(*(Text(cell) for cell in row))
        self.console.print(table)

    def confirm(self, key: str, /, *, yes: bool, **values: object) -> bool:
        """Ask a question, unless `yes` is set. Raises a usage error if standard input is not a terminal."""
        if yes:
            return True
        if not sys.stdin.isatty():
            raise click.UsageError(self.say("error.needs_yes"))
        return click.confirm(self.say(key, **values), err=True)


def client_command(function: Callable[..., int | None]) -> Callable[..., NoReturn]:
    """Add --server, --lang and --json to a command, and convert its errors to messages and exit statuses."""

    @click.option("--server", metavar="URL", help=say("option.server"))
    @click.option("--lang", type=click.Choice(LANGUAGES), help=say("option.lang"))
    @click.option("--json", "as_json", is_flag=True, help=say("option.json"))
    @functools.wraps(function)
    def run(server: str | None, lang: str | None, as_json: bool, **options: Any) -> NoReturn:
        session = Session(server, lang, as_json=as_json)
        sys.exit(run_safely(session, lambda: function(session, **options)))

    return run


def run_safely(session: Session, command: Callable[[], int | None]) -> int:
    """Run a command; return its exit status. The client's errors are printed as messages."""
    from stepline.client.errors import (  # noqa: PLC0415
        ApiError,
        InvalidRequest,
        ServerUnreachable,
        SteplineError,
    )

    try:
        return command() or exits.SUCCEEDED
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except ServerUnreachable as error:
        message = session.say("error.unreachable", url=session.server)
        return _fail(session, "server_unreachable", f"{message}\n  {error}", exits.UNREACHABLE)
    except ApiError as error:
        status = exits.USAGE if isinstance(error, InvalidRequest) else exits.FAILED
        return _fail(session, error.code, str(error), status, error.param)
    except (SteplineError, OSError) as error:
        return _fail(session, "client_error", str(error), exits.FAILED)


def _fail(session: Session, code: str, message: str, status: int, param: str | None = None) -> int:
    if session.as_json:
        error = {"code": code, "message": message, "param": param}
        click.echo(json.dumps({"error": error}, ensure_ascii=False))
    else:
        where = f"{param}: " if param and not message.startswith(param) else ""
        click.echo(session.say("error", message=where + message), err=True)
    return status
