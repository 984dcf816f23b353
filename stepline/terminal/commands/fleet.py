"""`stepline models` and `stepline workers`."""

import click

from stepline.terminal import exits
from stepline.terminal.figures import show_bytes, show_count
from stepline.terminal.session import Session, client_command
from stepline.terminal.words import say


@click.command(help=say("help.models"))
@client_command
def models(session: Session) -> int:
    """List the models."""
    found = list(session.client.models())
    if session.as_json:
        session.print_json(found)
        return exits.SUCCEEDED
    session.print_table(
        ["model", "parameters", "size", "context", "live"],
        [
            [
                model.id,
                show_count(model.parameters),
                show_bytes(model.bytes),
                "–" if model.max_length is None else str(model.max_length),
                session.say("yes" if model.available else "no"),
            ]
            for model in found
        ],
    )
    return exits.SUCCEEDED


@click.command(help=say("help.workers"))
@client_command
def workers(session: Session) -> int:
    """List the workers."""
    found = session.client.workers()
    if session.as_json:
        session.print_json(found)
        return exits.SUCCEEDED
    session.print_table(
        ["worker", "device", "memory", "queue", "live", "job"],
        [
            [
                worker.id,
                worker.device.name or worker.device.kind,
                show_bytes(worker.device.memory_bytes or None),
                worker.queue,
                session.say("yes" if worker.live else "no"),
                worker.current_job or "–",
            ]
            for worker in found
        ],
    )
    return exits.SUCCEEDED
