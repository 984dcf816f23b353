"""`stepline models` and `stepline workers`."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from stepline.terminal import exits
from stepline.terminal.display.figures import show_bytes, show_count, show_time
from stepline.terminal.session import Session, client_command
from stepline.terminal.words import say

if TYPE_CHECKING:
    from stepline.client.views import Model


@click.command(help=say("help.models"))
@click.option("--kind", type=click.Choice(("base", "adapter")), help=say("option.kind"))
@client_command
def models(session: Session, kind: str | None) -> int:
    """List the models."""
    found = list(session.client.models())
    bases = [model for model in found if model.base_model is None]
    adapters = [model for model in found if model.base_model is not None]
    if session.as_json:
        chosen = {None: found, "base": bases, "adapter": adapters}
        session.print_json(chosen[kind])
        return exits.SUCCEEDED
    if kind != "adapter":
        session.print_table(
            ["model", "parameters", "size", "context", "live"],
            [_base(session, model) for model in bases],
            left_out=["context", "parameters", "size"],
        )
    if adapters and kind is None:
        click.echo()
    if kind == "adapter" or (adapters and kind is None):
        session.print_table(
            ["created_by", "adapter", "base_model", "finished"],
            [_adapter(model) for model in adapters],
            left_out=["finished", "base_model"],
            shortened=["adapter"],
        )
    return exits.SUCCEEDED


def _base(session: Session, model: "Model") -> list[str]:
    return [
        model.id,
        show_count(model.parameters),
        show_bytes(model.bytes),
        "–" if model.max_length is None else str(model.max_length),
        session.say("yes" if model.available else "no"),
    ]


def _adapter(model: "Model") -> list[str]:
    finished_at = datetime.fromtimestamp(model.created, UTC)
    return [model.job or "", model.id, model.base_model or "", show_time(finished_at)]


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
        left_out=["memory", "queue", "device", "live"],
        shortened=["device"],
    )
    return exits.SUCCEEDED
