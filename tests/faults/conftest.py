"""One cluster per database, shared by all tests in this directory and repaired after each of them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.conftest import place_model
from tests.e2e.service import FINAL
from tests.faults.harness.cluster import Cluster
from tests.programs.postgres import Postgres, running_postgres


@pytest.fixture(scope="session")
def crashing_postgres() -> Iterator[Postgres]:
    """A PostgreSQL that the tests in this directory may crash, because no other tests use it."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def running_cluster(
    request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    kind = request.param
    postgres = request.getfixturevalue("crashing_postgres") if kind == "postgresql" else None
    with Cluster(tmp_path_factory.mktemp(kind), postgres) as cluster:
        place_model(cluster, tiny_model)
        yield cluster


@pytest.fixture
def cluster(running_cluster: Cluster) -> Iterator[Cluster]:
    """A service on this kind of database. It is intact when the test starts, and is restored when the test ends."""
    yield running_cluster
    repair(running_cluster)


def repair(cluster: Cluster) -> None:
    """Restore connections, database, broker, API and one worker; cancel jobs that are still running."""
    for link in cluster.all_links():
        link.set("pass")
        link.forget()
    if cluster.postgres is not None and not cluster.postgres.is_running:
        cluster.postgres.start()
    if not cluster.parts["broker"].is_running:
        cluster.start_broker()
    if not cluster.parts["api"].is_running:
        cluster.start_api()
    with ExitStack() as callbacks:
        for name in [name for name in cluster.links if name != "worker"]:
            callbacks.callback(cluster.parts[name].stop, lambda: True)
            if cluster.parts[name].is_running:
                cluster.resume(name)
    if not cluster.parts["worker"].is_running:
        cluster.start_worker()
    else:
        cluster.resume("worker")
    for job in cluster.get("/v1/jobs", limit=100)["data"]:
        if job["status"] not in FINAL:
            cluster.cancel(job["id"])
