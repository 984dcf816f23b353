"""One running service per module."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import Service
from tests.hub_server import Hub, files_of
from tests.tiny_model import make_rows

HUB_TOKEN = "hf_secret_of_a_test"


@pytest.fixture(scope="module")
def hub(tiny_model: Path) -> Iterator[Hub]:
    """Yield a hub with the tiny model as `team/tiny` and 40 rows as `team/rows`."""
    with Hub(files_of(tiny_model), {"train.jsonl": tiny_rows(40).encode()}) as running:
        yield running


@pytest.fixture(scope="module")
def service(
    tiny_model: Path, hub: Hub, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    hub_access = {"HF_ENDPOINT": hub.url, "HF_TOKEN": HUB_TOKEN}
    with Service(tmp_path_factory.mktemp("service"), **hub_access) as running:
        place_model(running, tiny_model)
        yield running


def place_model(service: Service, model: Path, name: str = "tiny-qwen2") -> Path:
    """Put a copy of a model under the service's models root."""
    return Path(shutil.copytree(model, service.models / name))


def make_job(
    service: Service, rows: int = 40, steps: int | None = None, **changes: Any
) -> dict[str, Any]:
    """Upload rows and return the spec of a small job that trains on them."""
    return spec_of_job(service.upload_dataset(tiny_rows(rows)), steps) | changes


def tiny_rows(count: int) -> str:
    """Return rows as JSONL."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in make_rows(count))


def spec_of_job(dataset: str, steps: int | None) -> dict[str, Any]:
    """Return a small spec: four samples per step and eight rows held out. It trains for one epoch if `steps` is None."""
    training = {
        "per_device_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "max_length": 128,
        "max_steps": steps,
        "epochs": 1 if steps is None else 10_000,
    }
    return {
        "model": "tiny-qwen2",
        "dataset": {"train": dataset, "eval_size": 8},
        "lora": {"rank": 8, "alpha": 16},
        "training": training,
    }
