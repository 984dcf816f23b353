"""A body is rejected if it exceeds its route's declared limit, or the smallest limit if the route declares none."""

import socket

import pytest
from fastapi import FastAPI, Request
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.testclient import TestClient

from app.edge.middleware import Edge
from app.http import handlers
from app.http.body_limits import JSON_LIMIT_BYTES, BodyKind, takes
from tests.programs.server_process import serving

MAX_UPLOAD_BYTES = 3 * JSON_LIMIT_BYTES


@pytest.fixture
def uploads() -> TestClient:
    """Return a client for two routes that return the length of their body; only one declares that it accepts a file."""
    app = FastAPI()
    handlers.install(app)
    app.add_middleware(Edge, max_upload_bytes=MAX_UPLOAD_BYTES)

    @app.put("/internal/declared")
    @takes(BodyKind.FILE)
    async def declared(request: Request) -> int:
        return len(await request.body())

    @app.put("/internal/undeclared")
    async def undeclared(request: Request) -> int:
        return len(await request.body())

    return TestClient(app)


@pytest.mark.parametrize(
    ("path", "limit"),
    [("/internal/declared", MAX_UPLOAD_BYTES), ("/internal/undeclared", JSON_LIMIT_BYTES)],
)
@pytest.mark.parametrize("announced", [True, False])
def test_each_route_accepts_bodies_up_to_its_own_limit(
    uploads: TestClient, path: str, limit: int, announced: bool
) -> None:
    def put(length: int) -> tuple[int, object]:
        content = b"x" * length
        response = uploads.put(path, content=content if announced else iter([content]))
        return response.status_code, response.json()

    assert put(limit) == (200, limit)
    status, body = put(limit + 1)
    assert status == 413
    assert isinstance(body, dict)
    assert body["error"]["code"] == "body_too_large"


def test_a_body_announced_as_too_large_is_rejected_before_it_is_sent(app: FastAPI) -> None:
    head = (
        "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {JSON_LIMIT_BYTES + 1}\r\nExpect: 100-continue\r\n\r\n"
    )
    with serving(app) as port, socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(head.encode())
        response = client.recv(65_536)

    assert response.startswith(b"HTTP/1.1 413 "), "the server must not request the body"


def test_every_worker_route_with_a_body_declares_which_kind_it_accepts(app: FastAPI) -> None:
    declared = {
        str(context.path): hasattr(context.endpoint, "body_kind")
        for context in iter_route_contexts(app.routes)
        if isinstance(context.original_route, APIRoute)
        and str(context.path).startswith("/internal/")
        and {"POST", "PUT"} & set(context.methods or ())
    }

    assert len(declared) >= 8
    assert [path for path, is_declared in declared.items() if not is_declared] == []
