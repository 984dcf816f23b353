"""The `stepline` command. A command's module is imported only when the command runs, so that startup is fast."""

import difflib
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import click

from stepline.terminal import exits
from stepline.terminal.language import LANGUAGES
from stepline.terminal.usage import HelpFormatter, show_error
from stepline.terminal.words import say

SERVER_COMMANDS = ("up", "serve", "worker", "migrate", "doctor")
"""Commands that run a service. `cli` implements them."""

CLIENT_COMMANDS = {
    "submit": "submit",
    "watch": "watch",
    "jobs": "jobs",
    "logs": "logs",
    "report": "results",
    "compare": "results",
    "download": "results",
    "cancel": "actions",
    "pause": "actions",
    "resume": "actions",
    "retry": "actions",
    "delete": "actions",
    "datasets": "datasets",
    "models": "fleet",
    "workers": "fleet",
    "login": "settings",
    "config": "settings",
    "completion": "completion",
}
"""The module of each command, by the command's name."""


class Commands(click.Group):
    """All commands, in two sections."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the commands' names, for help and completion."""
        return [*CLIENT_COMMANDS, *SERVER_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return a command."""
        if cmd_name in SERVER_COMMANDS:
            return _server_command(cmd_name)
        if cmd_name not in CLIENT_COMMANDS:
            return None
        module = importlib.import_module(f"stepline.terminal.commands.{CLIENT_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command. The error for an unknown one names a similar one."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            near = difflib.get_close_matches(name, self.list_commands(ctx), 1)
            hint = say("error.meant", name=near[0]) if near else ""
            ctx.fail(say("error.no_command", name=name, hint=hint).rstrip())
        return super().resolve_command(ctx, args)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write what the program does, in the language of --lang."""
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(say("help.program"))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the two sections without importing the commands."""
        for section, names in (
            ("section.client", CLIENT_COMMANDS),
            ("section.server", SERVER_COMMANDS),
        ):
            with formatter.section(say(section)):
                formatter.write_dl([(name, say(f"help.{name}")) for name in names])


def _server_command(name: str) -> click.Command:
    """Return the command for `stepline --lang zh up`: options before it must not change what runs."""

    def run() -> NoReturn:
        from cli.main import main as run_server_command  # noqa: PLC0415

        sys.exit(run_server_command([name, *click.get_current_context().args]))

    return click.Command(
        name,
        callback=run,
        help=say(f"help.{name}"),
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )


def _remember(variable: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    """Return a callback that passes an option before the command to the command, which reads the variable."""

    def store(ctx: click.Context, param: click.Parameter, value: str | None) -> None:  # noqa: ARG001
        if value:
            os.environ[variable] = value

    return store


@click.group(
    cls=Commands,
    help=say("help.program"),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.option(
    "--server",
    metavar="URL",
    expose_value=False,
    callback=_remember("STEPLINE_SERVER_URL"),
    help=say("option.server"),
)
@click.option(
    "--lang",
    type=click.Choice(LANGUAGES),
    expose_value=False,
    is_eager=True,  # before --help
    callback=_remember("STEPLINE_LANG"),
    help=say("option.lang"),
)
@click.version_option(package_name="stepline", prog_name="stepline", message="%(prog)s %(version)s")
def commands() -> None:
    """Run one of the commands below."""


def _remember_language(arguments: Sequence[str]) -> None:
    """Apply --lang, wherever it is, before the texts of the command and its errors are read."""
    for place, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        chosen = value if equals else "".join(arguments[place + 1 : place + 2])
        if name == "--lang" and chosen in LANGUAGES:
            os.environ["STEPLINE_LANG"] = chosen


@contextmanager
def _ending_at_sigterm() -> Iterator[None]:
    """Let SIGTERM, as from timeout(1), end the command like an error: the cursor is shown again, an open upload cancelled."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(exits.TERMINATED))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in SERVER_COMMANDS:
        from cli.main import main as run_server_command  # noqa: PLC0415

        return run_server_command(given)
    _remember_language(given)
    click.Context.formatter_class = HelpFormatter
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # not every terminal can show every character
    # Else pydantic looks for plugins in all installed packages, which takes longer than a request.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        with _ending_at_sigterm():
            result = commands.main(given, prog_name="stepline", standalone_mode=False)
    except SystemExit as end:
        if isinstance(end.code, str):
            click.echo(end.code, err=True)
        return end.code if isinstance(end.code, int) else exits.FAILED
    except click.ClickException as error:
        return show_error(error, as_json="--json" in given)
    except click.Abort:  # Ctrl-C at a question
        click.echo(err=True)
        return exits.INTERRUPTED
    return result if isinstance(result, int) else exits.SUCCEEDED


if __name__ == "__main__":
    sys.exit(main())
