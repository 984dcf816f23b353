"""`stepline login` and `stepline config`: the server, its key, and the language."""

import dataclasses
import sys

import click

from stepline.client.address import shown_address
from stepline.terminal import exits
from stepline.terminal.config import KEYS, Config, config_file, load_config, write_config
from stepline.terminal.language import LANGUAGES
from stepline.terminal.session import Session, client_command
from stepline.terminal.words import say

FROM_INPUT = "-"
"""Value of --key that asks for the key, or reads it from standard input if that is not a terminal."""


@click.command(help=say("help.login"))
@click.argument("address", metavar="[SERVER]", required=False)
@click.option("--key", metavar="KEY", help=say("option.key"))
@client_command
def login(session: Session, address: str | None, key: str | None) -> int:
    """Check a server and store its address, and its key if one is given."""
    settings = _load(session)
    session.server = address or _ask_for_address(session)
    session.key = _read_key(session) if key == FROM_INPUT else key
    workers = session.client.workers()
    server = session.client.base_url
    keys = dict(settings.keys)
    if session.key:
        keys[server] = session.key
        if server.startswith("http://") and not session.client.is_local:
            session.tell("warning.plain_http")
    elif session.key is not None:
        keys.pop(server, None)
    write_config(dataclasses.replace(settings, server=server, keys=keys))
    if session.as_json:
        found = {"server": server, "key": server in keys, "file": str(config_file())}
        session.print_json(found)
    else:
        online = sum(worker.live for worker in workers)
        shown = shown_address(server)
        session.print_text(
            session.say("said.logged_in", url=shown, count=online, file=config_file())
        )
    return exits.SUCCEEDED


@click.command(help=say("help.config"))
@click.argument("key", required=False)
@click.argument("value", required=False)
@client_command
def config(session: Session, key: str | None, value: str | None) -> int:
    """Show all settings, or one, or change one."""
    if key is not None and key not in KEYS:
        raise click.UsageError(session.say("error.config_key", key=key))
    if key is None or value is None:
        _show(session, key)
        return exits.SUCCEEDED
    if key == "lang" and value not in ("", *LANGUAGES):
        raise click.UsageError(session.say("error.config_lang", value=value))
    if key == "server" and value:
        from stepline.client.address import checked_address  # noqa: PLC0415

        value = checked_address(value)
    # Not the session's settings, which an option or a variable may override.
    settings = _load(session)
    if key == "server":
        settings = dataclasses.replace(settings, server=value or None)
    else:
        settings = dataclasses.replace(settings, lang=value or None)
    write_config(settings)
    if session.as_json:
        shown = {"server": settings.server, "lang": settings.lang, "file": str(config_file())}
        session.print_json(shown)
    return exits.SUCCEEDED


def _load(session: Session) -> Config:
    """Return the stored settings. Raises a usage error if they cannot be read, because a new file would replace the keys."""
    try:
        return load_config()
    except (OSError, ValueError) as error:
        message = session.say("error.config_file", path=config_file(), reason=error)
        raise click.UsageError(message) from error


def _show(session: Session, key: str | None) -> None:
    is_set = bool(session.find_key())
    shown = {"server": shown_address(session.server), "lang": session.language}
    if session.as_json:
        session.print_json(shown | {"key": is_set, "file": str(config_file())})
    elif key is not None:
        session.print_text(shown[key])
    else:
        state = session.say("key.set" if is_set else "key.not_set")
        rows = [*shown.items(), ("key", state), ("settings_file", str(config_file()))]
        session.print_table(
            ["field", "value"], [[session.say(k), v] for k, v in rows], folded=["value"]
        )


def _ask_for_address(session: Session) -> str:
    if not sys.stdin.isatty():
        raise click.UsageError(session.say("error.no_address"))
    address: str = click.prompt(session.say("ask.server"), default=session.server, err=True)
    return address


def _read_key(session: Session) -> str:
    if not sys.stdin.isatty():
        key = sys.stdin.readline().strip()
        if not key:  # for example, because a variable is not set
            raise click.UsageError(session.say("error.no_key"))
        return key
    typed: str = click.prompt(session.say("ask.key"), hide_input=True, err=True)
    return typed.strip()
