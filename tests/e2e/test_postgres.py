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


def test_a_job_runs_on_postgresql_and_the_same_rows_can_be_uploaded_twice(service: Service) -> None:
    spec = make_job(service, steps=5)
    assert make_job(service, steps=5) == spec

    job_id = service.post_job(**spec)

    assert service.wait_for_end(job_id)["status"] == "succeeded", service.logs()
    assert [point["step"] for point in service.losses(job_id)] == [1, 2, 3, 4, 5]
    assert service.get(f"/v1/jobs/{job_id}/summary")["steps"] == 5
