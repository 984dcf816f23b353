"""A running service with a tiny model, and OpenAI's own client."""

from collections.abc import Iterator

import pytest
from openai import OpenAI

from tests.e2e.conftest import place_model
from tests.e2e.service import Service
from tests.tiny_model import make_tiny_qwen2


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    model = make_tiny_qwen2(tmp_path_factory.mktemp("models") / "tiny-qwen2")
    with Service(tmp_path_factory.mktemp("service")) as running:
        place_model(running, model)
        yield running


@pytest.fixture
def client(service: Service) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{service.url}/v1", api_key="any-key", max_retries=0) as client:
        yield client
