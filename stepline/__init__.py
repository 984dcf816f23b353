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

    return getattr(importlib.import_module(f"stepline.client.{_MODULES[name]}"), name)
