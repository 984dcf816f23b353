"""`stepline config`: show or change the user's settings."""

import click

from stepline.terminal import exits
from stepline.terminal.config import KEYS, config_file, read_config, write_config
from stepline.terminal.language import LANGUAGES
from stepline.terminal.session import Session, client_command
from stepline.terminal.words import say


@click.command(help=say("help.config"))
@click.argument("key", required=False)
@click.argument("value", required=False)
@client_command
def config(session: Session, key: str | None, value: str | None) -> int:
    """Show all settings, or one, or change one."""
    settings = read_config()
    if key is not None and key not in KEYS:
        raise click.UsageError(session.say("error.config_key", key=key))
    if key is None or value is None:
        shown = {"server": session.server, "lang": session.language}
        if session.as_json:
            session.print_json(shown | {"file": str(config_file())})
        elif key is not None:
            click.echo(shown[key])
        else:
            session.print_table(["field", "name"], [[session.say(k), v] for k, v in shown.items()])
        return exits.SUCCEEDED
    if key == "lang" and value not in ("", *LANGUAGES):
        raise click.UsageError(session.say("error.config_lang", value=value))
    if key == "server" and value:
        from stepline.client.client import Client  # noqa: PLC0415

        with Client(value) as client:  # checks the address
            value = client.base_url
    kept = {k: v for k, v in settings.items() if k != key}
    write_config(kept | ({key: value} if value else {}))
    return exits.SUCCEEDED
