"""Completes ids in the shell. A server that does not answer within a second completes nothing, and no error is shown."""

import re
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from contracts.values.text import escape

if TYPE_CHECKING:
    from stepline.client.client import Client

SECONDS = 1.0
"""Time limit for each step of the request: connecting, sending, receiving."""
MOST_IDS = 50
_PLAIN = re.compile(r"[\w./:@+-]+")


def complete_job(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001  # click passes it
    incomplete: str,
) -> list[CompletionItem]:
    """Return the newest jobs that contain the typed text in their id, name or model."""

    def find(client: "Client") -> Iterable[CompletionItem]:
        for job in client.jobs(search=incomplete or None, page_size=MOST_IDS):
            yield CompletionItem(job.id, help=escape(f"{job.status} {job.name or ''}".strip()))

    return _ask(ctx, find)


def complete_dataset(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[CompletionItem]:
    """Return the newest datasets that contain the typed text in their id or file name."""

    def find(client: "Client") -> Iterable[CompletionItem]:
        for dataset in client.datasets.list(incomplete or None):
            yield CompletionItem(dataset.id, help=escape(dataset.filename))

    return _ask(ctx, find)


def complete_data(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return datasets if the text begins as their ids do, else let the shell complete a file."""
    if incomplete.startswith("ds_"):
        return complete_dataset(ctx, param, incomplete)
    return [CompletionItem(incomplete, type="file")]


def complete_model(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[CompletionItem]:
    """Return the models on the workers that begin with the typed text."""

    def find(client: "Client") -> Iterable[CompletionItem]:
        for model in client.models():
            if model.base_model is None and model.id.startswith(incomplete):
                yield CompletionItem(model.id)

    return _ask(ctx, find)


def _is_plain(value: str) -> bool:
    """Return whether a value is one word for every shell.

    The shell inserts a value into the command line, and would execute `$(…)` in it.
    """
    return _PLAIN.fullmatch(value) is not None


def _ask(
    ctx: click.Context, find: "Callable[[Client], Iterable[CompletionItem]]"
) -> list[CompletionItem]:
    from pydantic import ValidationError  # noqa: PLC0415

    from stepline.client.client import Client  # noqa: PLC0415
    from stepline.client.errors import SteplineError  # noqa: PLC0415
    from stepline.terminal.session import Session  # noqa: PLC0415

    session = Session(ctx.params.get("server"), None, as_json=False)
    try:
        with Client(
            session.server, attempts=1, api_key=session.find_key(), timeout_seconds=SECONDS
        ) as client:
            found = islice(find(client), MOST_IDS)
            return [item for item in found if _is_plain(item.value)]
    except (SteplineError, ValidationError):
        return []
