"""The Python client and the terminal client of a Stepline service. Contains no server or worker code, and imports only contracts.

from stepline import Client

with Client("http://127.0.0.1:8000") as client:
    dataset = client.datasets.upload("rows.jsonl")
    job = client.submit({"model": "Qwen/Qwen2-0.5B-Instruct", "dataset": {"train": dataset.id}})
    job.watch()
    job.download("adapter.zip")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepline.client.client import Client
    from stepline.client.errors import (
        ApiError,
        DatasetRejected,
        ServerUnreachable,
        SteplineError,
        WaitTimeout,
    )
    from stepline.client.job import Job

_MODULES = {
    "Client": "client",
    "Job": "job",
    "ApiError": "errors",
    "DatasetRejected": "errors",
    "ServerUnreachable": "errors",
    "SteplineError": "errors",
    "WaitTimeout": "errors",
}
__all__ = [
    "ApiError",
    "Client",
    "DatasetRejected",
    "Job",
    "ServerUnreachable",
    "SteplineError",
    "WaitTimeout",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, because `stepline --help` must not load the HTTP library."""
    if name not in _MODULES:
        raise AttributeError(f"module 'stepline' has no attribute {name!r}")
    import importlib  # noqa: PLC0415

    _require_own_contracts()
    return getattr(importlib.import_module(f"stepline.client.{_MODULES[name]}"), name)


def _require_own_contracts() -> None:
    """Raise ImportError if another module called `contracts`, such as a file next to the user's script, hides ours."""
    from importlib.util import find_spec  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    found = find_spec("contracts")
    origin = None if found is None else found.origin
    if origin is None or Path(origin).parent.parent != Path(__file__).parent.parent:
        raise ImportError(
            f"Stepline's package `contracts` is hidden by {origin or 'another package'}. Rename that module."
        )
