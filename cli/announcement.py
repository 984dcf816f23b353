"""The message that `stepline up` prints once the service is ready: the page's address, the device, the models found, and the next command."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cli.models_dir import ModelsDir
from contracts.values.text import escape_lines

SHOWN_MODELS = 5
REPORT_SECONDS = 3.0
"""How long to wait for the worker's list of models, which it reports after its hello."""

Get = Callable[[str], Any]
"""Returns the API's response to a GET request for a path, or None if the response is missing or invalid."""


def describe_service(url: str, models_dir: ModelsDir, get: Get) -> Iterator[str]:
    """Yield the lines of the start-up message, one fact per line."""
    yield f"  device  {escape_lines(_describe_devices(get('/v1/workers')))}"
    models, has_more = _find_models(models_dir.path, get)
    yield f"  models  {escape_lines(_describe_models(models, models_dir, has_more=has_more))}"
    yield f"  next    open {url}/new, or upload rows: curl -s {url}/v1/datasets -F file=@rows.jsonl"


def _describe_devices(workers: Any) -> str:
    devices = [worker["device"] for worker in (workers or {}).get("data", []) if worker["live"]]
    return "; ".join(map(_describe_device, devices)) or "unknown"


def _describe_device(device: dict[str, Any]) -> str:
    if device["kind"] != "cuda":
        return f"{device['name'] or device['kind'].upper()} (no GPU is used, so training is slow)"
    memory = device["memory_bytes"]
    return f"{device['name']}, {memory / 2**30:.1f} GiB" if memory else str(device["name"])


def _find_models(models_dir: Path, get: Get) -> tuple[list[str], bool]:
    """Return the models reported by the worker, and whether there is more than one page of them.

    Waits for the report if the directory appears to contain models.
    """
    has_models = any(models_dir.glob("*/config.json")) or any(models_dir.glob("*/*/config.json"))
    end = time.monotonic() + REPORT_SECONDS
    while True:
        page = get("/v1/models") or {}
        found = [model["id"] for model in page.get("data", [])]
        if found or not has_models or time.monotonic() > end:
            return found, page.get("has_more", False)
        time.sleep(0.05)


def _describe_models(models: Sequence[str], models_dir: ModelsDir, *, has_more: bool) -> str:
    if not models:
        return f"none in {models_dir} yet: copy a model directory there, or use a Hugging Face Hub model in a job"
    others = f"{'at least ' if has_more else ''}{len(models) - SHOWN_MODELS}"
    more = f" and {others} more" if len(models) > SHOWN_MODELS else ""
    return f"{', '.join(models[:SHOWN_MODELS])}{more} (in {models_dir})"
