import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import text
from starlette.testclient import TestClient

from app.config.settings import Settings
from app.db.engine import Database
from app.main import create_app
from tests.app.errors.error_shape import check_shape
from tests.app.errors.hostile_requests import HOSTILE_BODIES, HOSTILE_IDS, HOSTILE_QUERIES
from tests.app.player import BASE_URL, Player
from tests.programs.server_process import TOKEN


def all_routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Yield every method and path, including the internal ones."""
    for path, methods in app.openapi()["paths"].items():
        for method in methods:
            yield method.upper(), path
    for path in ("workers", "claim", "attempts/{attempt_id}/sync", "attempts/{attempt_id}/finish"):
        yield "POST", f"/internal/v1/{path}"
    yield "PUT", "/internal/v1/attempts/{attempt_id}/artifacts/{name}"
    yield "GET", "/internal/v1/attempts/{attempt_id}/datasets/{dataset_id}"


def test_every_route_rejects_invalid_requests_in_the_standard_error_format(
    app: FastAPI, player: Player
) -> None:
    player.submit()
    claim = player.claim()
    job, dataset = claim.job_id, str(claim.spec.dataset.train)
    real = {"job_id": job, "dataset_id": dataset, "attempt_id": claim.attempt_id}
    real |= {"name": "x", "model_id": "owner/x", "code": "stalled", "errand_id": "errand_1"}
    new = {"filename": "a.jsonl", "bytes": 9, "purpose": "fine-tune", "mime_type": "text/plain"}
    real["upload_id"] = player.client.post("/v1/uploads", json=new).json()["id"]
    rows = {"file": ("a.jsonl", b'{"instruction": "a", "output": "b"}')}
    file = player.client.post("/v1/files", files=rows, data={"purpose": "fine-tune"})
    real |= {"file_id": file.json()["id"], "ftjob_id": job.replace("job_", "ftjob-")}
    local = TestClient(app, base_url=BASE_URL, client=("127.0.0.1", 50000))  # may manage webhooks
    hook = {"name": "x", "url": "https://example.org", "event_types": ["fine_tuning.job.failed"]}
    real["endpoint_id"] = local.post("/v1/webhook_endpoints", json=hook).json()["id"]
    ended = player.submit()  # its stream ends immediately; the stream of a running job would not
    player.client.post(f"/v1/jobs/{ended}/cancel")

    def send(method: str, path: str, token: str, body: bytes = b"", kind: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} | ({"Content-Type": kind} if kind else {})
        client = local if path.startswith("/v1/webhook") else player.client
        response = client.request(method, path, content=body, headers=headers)
        assert response.status_code < 500, (method, path, body[:80], response.text)
        if response.status_code >= 400 and method != "HEAD":
            check_shape(response)

    for method, path in all_routes(app):
        of_worker = path.endswith(("/workers", "/workers/models", "/claim")) or "/errands/" in path
        token = TOKEN if of_worker else claim.token
        for bad in HOSTILE_IDS:
            if "{" in path:
                send(method, re.sub(r"\{\w+\}", bad, path), token)
        place = path.format_map(real | ({"job_id": ended} if path.endswith("/stream") else {}))
        if method == "GET":
            for query in HOSTILE_QUERIES:
                send(method, f"{place}?{query}", token)
        elif method != "DELETE":
            for body, kind in HOSTILE_BODIES:
                send(method, place, token, body, kind)
        if method != "GET":
            send(method, place, "wrong")
    assert player.client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v1/jobs/", "/v2/jobs", "/v1/nothing", "/%00", "/docs/"]
)
def test_an_unknown_path_is_not_found(player: Player, path: str) -> None:
    response = player.client.get(path)

    assert response.status_code == 404
    assert check_shape(response)["code"] == "path_not_found"


def test_a_wrong_method_is_rejected_with_the_allowed_ones(player: Player) -> None:
    for method, path, allowed in (
        ("PUT", "/v1/jobs", "GET, POST"),
        ("POST", "/v1/jobs/job_x", "GET, PATCH, DELETE"),
        ("GET", "/v1/jobs/job_x/cancel", "POST"),
        ("PATCH", "/v1/datasets/ds_x", "GET, DELETE"),
        ("DELETE", "/healthz", "GET"),
    ):
        response = player.client.request(method, path)
        assert response.status_code == 405
        assert response.headers["allow"] == allowed
        assert check_shape(response)["code"] == "method_not_allowed"


@pytest.mark.parametrize("key", ["", "x" * 256, "naïve", "a\tb"])
def test_an_invalid_idempotency_key_is_rejected(player: Player, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode("latin-1"))]
    body = {"model": "m", "dataset": {"train": player.upload()}}

    response = player.client.post("/v1/jobs", json=body, headers=headers)

    assert response.status_code == 400
    assert check_shape(response)["param"] == "Idempotency-Key"


def test_an_internal_error_is_logged_and_its_details_are_hidden_from_the_client(
    app: FastAPI, client: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    @app.get("/bug")
    def bug() -> None:
        raise ZeroDivisionError("a bug in the server")

    response = client.get("/bug", headers={"X-Request-Id": "mine-1"})

    error = check_shape(response)
    assert (response.status_code, error["code"]) == (500, "internal_error")
    assert response.headers["x-request-id"] == "mine-1"
    assert "mine-1" in error["message"]
    assert "a bug in the server" not in response.text
    assert "a bug in the server" in capsys.readouterr().out


def test_an_unsafe_request_id_is_replaced(client: TestClient) -> None:
    response = client.get("/healthz", headers={"X-Request-Id": 'x" onclick='})

    assert response.headers["x-request-id"].startswith("req_")


def test_an_unavailable_database_is_reported_with_a_retry_time(
    settings: Settings, tmp_path: Any
) -> None:
    unavailable = settings.model_copy(
        update={"database_url": f"postgresql://postgres@/none?host={tmp_path}"}
    )
    app = create_app(unavailable)
    app.state.storage.prepare()
    client = TestClient(app, base_url=BASE_URL)

    for response in (
        client.get("/v1/jobs"),
        client.get("/v1/jobs/job_x?wait=1"),
        client.get("/v1/workers"),
    ):
        error = check_shape(response)
        assert (response.status_code, error["code"]) == (503, "database_unavailable")
        assert response.headers["retry-after"] == "2"
        assert "x-should-retry" not in response.headers
    assert client.get("/healthz").status_code == 200
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    assert ready.json()["database"].startswith("unreachable")


def test_the_server_is_not_ready_while_its_schema_is_outdated(
    client: TestClient, database: Database, settings: Settings
) -> None:
    assert client.get("/readyz").json()["ready"] is True

    with database.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "stepline migrate" in response.json()["database"]


def test_cors_allows_only_the_configured_origins(settings: Settings) -> None:
    def allowed_origin(given: Settings) -> str | None:
        app = create_app(given)
        response = TestClient(app, base_url=BASE_URL).get(
            "/healthz", headers={"Origin": "https://a.example"}
        )
        return response.headers.get("access-control-allow-origin")

    assert allowed_origin(settings) is None
    configured = settings.model_copy(update={"cors_origins": ["https://a.example"]})
    assert allowed_origin(configured) == "https://a.example"


def test_the_openapi_document_describes_the_list_of_errors(app: FastAPI) -> None:
    schemas = app.openapi()["components"]["schemas"]

    assert "invalid_field" in schemas["ErrorDetail"]["properties"]["errors"]["description"]
    assert "errors" not in schemas["ErrorDetail"]["required"]
    assert set(schemas["FieldError"]["required"]) == {"param", "code", "message"}


def test_an_error_shows_unsafe_characters_as_escape_sequences(player: Player) -> None:
    body = {
        "model": "m",
        "dataset": {"train": "ds_00000000"},
        "lora": {"rank": "\u202e"},
        "\x1b": 1,
    }

    [rank, unknown] = check_shape(player.client.post("/v1/jobs", json=body))["errors"]

    assert rank["message"] == r'must be an integer (got "\u202e")'
    assert unknown["param"] == r"\x1b"
