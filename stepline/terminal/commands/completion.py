"""`stepline completion`: the program that makes a shell complete commands, options and ids."""

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from stepline.terminal import exits
from stepline.terminal.session import Session, client_command
from stepline.terminal.words import say

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_STEPLINE_COMPLETE"
"""The variable with which the shell asks this program for completions."""


@click.command(help=say("help.completion"))
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@client_command
def completion(session: Session, shell: str | None) -> int:
    """Print the program."""
    shell = shell or Path(os.environ.get("SHELL", "")).name
    found = get_completion_class(shell)
    if found is None or shell not in SHELLS:
        raise click.UsageError(session.say("error.no_shell", shells=", ".join(SHELLS)))
    from stepline.terminal.main import commands  # noqa: PLC0415

    source = found(commands, {}, "stepline", VARIABLE).source()
    if session.as_json:
        session.print_json({"shell": shell, "source": source})
    else:
        click.echo(source)
    return exits.SUCCEEDED
