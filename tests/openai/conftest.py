"""A running service with a tiny model, OpenAI's newest client, and a job that this client has run."""

from collections.abc import Iterator

import pytest
from openai import OpenAI

from tests.e2e.conftest import place_model, tiny_rows
from tests.e2e.service import Service
from tests.openai.checks.case import Case, open_case
from tests.tiny_model import make_tiny_qwen2


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    model = make_tiny_qwen2(tmp_path_factory.mktemp("models") / "tiny-qwen2")
    with Service(
        tmp_path_factory.mktemp("service"), STEPLINE_WEBHOOK_NETWORKS="127.0.0.1/32"
    ) as running:
        place_model(running, model)
        yield running


JOB_KEY = "the-job-of-the-checks"


@pytest.fixture(scope="package")
def case(service: Service) -> Iterator[Case]:
    with open_case(service.url, tiny_rows(40).encode(), JOB_KEY) as case:
        yield case


@pytest.fixture
def client(service: Service) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{service.url}/v1", api_key="any-key", max_retries=0) as client:
        yield client
