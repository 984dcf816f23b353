"""Requests to worker routes without the right token: the response reveals nothing, whatever else is wrong with the request."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from app.attempts import routes as attempts
from app.checkpoints import routes as checkpoints
from app.config.settings import Settings
from app.errands import routes as errands
from app.imports import routes as imports
from app.leases.gate import WorkerRoute
from app.main import create_app
from tests.app.player import BASE_URL, Player
from tests.programs.server_process import TOKEN

BODIES: list[tuple[bytes, str]] = [
    (b"", ""),
    (b"{", "application/json"),
    (b"[" * 100_000, "application/json"),
    (b'{"worker_id": 5}', "application/json"),
    (b"\xff", "text/plain"),
    (b"x", "multipart/form-data; boundary=b"),
]


@pytest.fixture
def app(settings: Settings) -> Iterator[FastAPI]:
    app = create_app(settings)
    app.state.storage.prepare()
    yield app
    app.state.database.close()


@pytest.fixture
def settings(sqlite_url: str, tmp_path: Any) -> Settings:
    return Settings(
        database_url=sqlite_url, data_dir=tmp_path / "files", worker_token=TOKEN, doorbell=False
    )


def worker_routes() -> Iterator[tuple[str, str]]:
    routers: Sequence[Any] = (
        attempts.router,
        checkpoints.internal,
        errands.internal,
        imports.internal,
    )
    for route in (route for router in routers for route in router.routes):
        assert isinstance(route, WorkerRoute)
        for method in route.methods or ():
            yield method, route.path


def test_every_internal_route_checks_the_token(app: FastAPI) -> None:
    def walk(routes: Sequence[Any]) -> Iterator[APIRoute]:
        for route in routes:
            if isinstance(route, APIRoute):
                yield route
            else:
                yield from walk(getattr(getattr(route, "original_router", None), "routes", []))

    found = [route for route in walk(app.router.routes) if route.path.startswith("/internal/")]

    assert len(found) == len(list(worker_routes())) > 5
    assert all(isinstance(route, WorkerRoute) for route in found)


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic eDp5", "Bearer wrong", TOKEN]
)
def test_a_caller_without_a_valid_token_always_gets_the_same_401(
    app: FastAPI, header: str | None
) -> None:
    client = TestClient(app, base_url=BASE_URL)
    player = Player(client)
    player.submit()
    real = player.claim()
    headers = {} if header is None else {"Authorization": header}

    for method, path in worker_routes():
        for attempt_id in (real.attempt_id, "att_none", "%00"):
            place = path.format(
                attempt_id=attempt_id,
                errand_id="x",
                name="%20",
                sha256="x",
                dataset_id="x",
                number="x",
            )
            for body, kind in BODIES:
                typed = headers | ({"Content-Type": kind} if kind else {})
                response = client.request(method, place, content=body, headers=typed)
                assert response.status_code == 401, (method, place, body[:20], response.text)
                assert response.json()["error"]["code"] == "invalid_token"
                assert response.headers["www-authenticate"] == "Bearer"


def test_the_token_of_one_attempt_is_invalid_for_another(app: FastAPI) -> None:
    player = Player(TestClient(app, base_url=BASE_URL))
    player.submit()
    player.submit()
    one, other = player.claim(worker_id="w1"), player.claim(worker_id="w2")
    player.sync(one)
    player.sync(other)

    mixed = other.model_copy(update={"token": one.token})

    assert player.send_sync(mixed).status_code == 401
    assert player.send_sync(other).status_code == 200
