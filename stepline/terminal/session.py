"""Session: one invocation of a command. It holds the address, the language and the output, and ends with an exit status."""

import functools
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from contracts.values.text import escape, escape_json, escape_lines
from stepline.terminal import exits
from stepline.terminal.config import DEFAULT_SERVER, read_config
from stepline.terminal.display.wrapping import wrap
from stepline.terminal.language import LANGUAGES, Language, choose_language
from stepline.terminal.words import say

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console

    from stepline.client.client import Client


_STYLE = re.compile(r"(\x1b\[[0-9;]*m)")
"""An escape sequence that sets colors or styles, and does nothing else."""


class Session:
    """The options that all commands share, for this invocation."""

    def __init__(self, server: str | None, lang: str | None, *, as_json: bool) -> None:
        self.language: Language = choose_language(lang)
        self.config = read_config()
        self.server = (
            server or os.environ.get("STEPLINE_SERVER_URL") or self.config.server or DEFAULT_SERVER
        )
        self.key: str | None = None
        self.as_json = as_json

    @functools.cached_property
    def client(self) -> "Client":
        """The client of the service. The HTTP library is loaded here, not at the start."""
        from stepline.client.client import Client  # noqa: PLC0415

        return Client(self.server, self.language, attempts=3, api_key=self.find_key())

    def find_key(self) -> str | None:
        """Return the API key for the server: `key` if it is set, else STEPLINE_API_KEY, else the stored one."""
        from stepline.client.address import checked_address  # noqa: PLC0415

        if self.key is not None:
            return self.key
        stored = self.config.keys.get(checked_address(self.server))
        return os.environ.get("STEPLINE_API_KEY") or stored

    @functools.cached_property
    def console(self) -> "Console":
        """Standard output."""
        from rich.console import Console  # noqa: PLC0415

        return Console(highlight=False)

    @property
    def is_terminal(self) -> bool:
        """Whether standard output is a terminal. Does not load rich, which a script does not need."""
        return sys.stdout.isatty()

    @property
    def is_live(self) -> bool:
        """Whether a screen that is drawn again and again makes sense on standard output."""
        return self.is_terminal and not self.as_json and not self.console.is_dumb_terminal

    @functools.cached_property
    def notes(self) -> "Console":
        """Standard error, for progress and messages, so that standard output holds only results."""
        from rich.console import Console  # noqa: PLC0415

        return Console(stderr=True, highlight=False)

    def say(self, key: str, /, **values: object) -> str:
        """Return a sentence in the session's language."""
        return say(key, self.language, **values)

    def print_text(self, text: str) -> None:
        """Print text. Characters that a terminal interprets are escaped, because the text may come from the server."""
        click.echo(escape_lines(text))

    def print_colored(self, text: str) -> None:
        """Print text as `print_text` does, but with its colors and styles."""
        parts = _STYLE.split(text)  # every second part is a style
        parts[::2] = [escape_lines(part) for part in parts[::2]]
        click.echo("".join(parts))

    def print_id(self, found: str) -> None:
        """Print an id for a program. In a terminal, a message has shown it."""
        if not self.is_terminal:
            self.print_text(found)

    def tell(self, key: str, /, **values: object) -> None:
        """Print a sentence to standard error."""
        self.note(self.say(key, **values))

    def tell_connection(self, is_connected: bool) -> None:
        """Say that the connection is lost or restored."""
        self.tell("said.restored" if is_connected else "said.lost")

    def note(self, message: str) -> None:
        """Print a message to standard error, escaped as by `print_text`. In a terminal, its lines break between words."""
        message = escape_lines(message)
        if sys.stderr.isatty():
            message = "\n".join(wrap(message, shutil.get_terminal_size().columns))
        click.echo(message, err=True)

    def print_json(self, content: "BaseModel | dict[str, Any] | Sequence[BaseModel]") -> None:
        """Print a result as one line of JSON. A list is `{"data": […]}`."""
        if isinstance(content, dict):
            found: Any = content
        elif isinstance(content, Sequence):
            found = {"data": [each.model_dump(mode="json") for each in content]}
        else:
            found = content.model_dump(mode="json")
        _echo_json(found)

    def print_table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        left_out: Sequence[str] = (),
        shortened: Sequence[str] = (),
        folded: Sequence[str] = (),
        colors: Mapping[str, str] | None = None,
    ) -> None:
        """Print a table with the titles of `columns` in the session's language. Otherwise as `print_rows`.

        `left_out`, `shortened`, `folded`: columns, as in `tables.Fit`.
        """
        titles = [self.say(column) for column in columns]
        places = [
            [list(columns).index(name) for name in names] for names in (left_out, shortened, folded)
        ]
        self.print_rows(titles, rows, *places, colors=colors)

    def print_rows(
        self,
        titles: Sequence[str],
        rows: Iterable[Sequence[str]],
        left_out: Sequence[int] = (),
        shortened: Sequence[int] = (),
        folded: Sequence[int] = (),
        *,
        colors: Mapping[str, str] | None = None,
    ) -> None:
        """Print a table; outside a terminal, print tab-separated cells, one row per line. Cells are escaped.

        `colors`: of cells, by their text.
        """
        titles = [escape(title) for title in titles]
        cells = [[escape(cell) for cell in row] for row in rows]
        if not self.is_terminal:
            for line in [titles, *cells]:
                click.echo("\t".join(line))
            return
        if not cells:
            click.echo(self.say("said.none"))
            return
        from stepline.terminal.display.tables import Fit, make_table  # noqa: PLC0415

        fit = Fit(left_out, shortened, folded)
        self.console.print(make_table(titles, cells, self.console.width, fit, colors))

    def fail(self, code: str, message: str, status: int, param: str | None = None) -> int:
        """Print an error; return the exit status."""
        if self.as_json:
            _echo_json({"error": {"code": code, "message": message, "param": param}})
        else:
            where = f"{param}: " if param and not message.startswith(param) else ""
            self.note(self.say("error", message=where + message))
        return status

    def drop_output(self) -> None:
        """Discard what is left to print, because the reader of standard output has ended."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def require_answer(self, *, yes: bool) -> None:
        """Raise a usage error if a question is necessary, but standard input is not a terminal."""
        if not yes and not sys.stdin.isatty():
            raise click.UsageError(self.say("error.needs_yes"))

    def confirm(self, key: str, /, *, yes: bool, **values: object) -> bool:
        """Ask a question, unless `yes` is set. Raises a usage error if standard input is not a terminal."""
        self.require_answer(yes=yes)
        return yes or click.confirm(self.say(key, **values), err=True)


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
    from stepline.client.address import shown_address  # noqa: PLC0415
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
    except BrokenPipeError:  # for example, because of `| head`
        session.drop_output()
        return exits.SUCCEEDED
    except ServerUnreachable as error:
        message = str(error)
        if error.reason is not None:
            message = session.say(
                "error.unreachable", url=shown_address(session.server), reason=error.reason
            )
        return session.fail("server_unreachable", message, exits.UNREACHABLE)
    except ApiError as error:
        status = exits.USAGE if isinstance(error, InvalidRequest) else exits.FAILED
        return session.fail(error.code, str(error), status, error.param)
    except UnicodeEncodeError as error:
        raise click.UsageError(session.say("error.not_text")) from error
    except (SteplineError, OSError) as error:
        return session.fail("client_error", str(error), exits.FAILED)


def _echo_json(found: Any) -> None:
    """Print one line of JSON that is safe to show in a terminal, and that standard output can encode."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    click.echo(escape_json(json.dumps(found, ensure_ascii=encoding != "utf8")))
