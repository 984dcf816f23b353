"""The same on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import make_job, place_model
from tests.e2e.service import Service
from tests.postgres import Postgres


@pytest.fixture(scope="module")
def service(
    tiny_model: Path, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    name = postgres.create_database()
    with Service(tmp_path_factory.mktemp("service"), postgres.url(name)) as running:
        place_model(running, tiny_model)
        yield running
    postgres.drop_database(name)


def test_jobs_run_one_after_the_other(service: Service) -> None:
    first = service.post_job(**make_job(service, steps=5))
    second = service.post_job(**make_job(service, steps=3))

    assert service.wait_for_end(first)["status"] == "succeeded", service.logs()
    assert service.wait_for_end(second)["status"] == "succeeded", service.logs()
    assert [point["step"] for point in service.losses(first)] == [1, 2, 3, 4, 5]
    assert service.get(f"/v1/jobs/{second}/summary")["steps"] == 3
