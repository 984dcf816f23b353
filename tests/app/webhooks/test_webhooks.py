"""Webhooks from the end of a job to a real receiver, on both databases."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from anyio import to_thread
from fastapi import FastAPI
from sqlalchemy import update
from starlette.testclient import TestClient

from app.config.settings import Settings
from app.db.engine import Database, database_now
from app.db.webhook_tables import WebhookDelivery
from app.webhooks.courier import RETRY_SECONDS, Courier
from app.webhooks.sending import Answer
from tests.app.player import BASE_URL, Player

SUCCEEDED, FAILED = "fine_tuning.job.succeeded", "fine_tuning.job.failed"
CANCELLED = "fine_tuning.job.cancelled"


@dataclass
class Receiver:
    """A receiver of webhooks that answers with `status`."""

    status: int = 204
    location: str | None = None
    received: list[tuple[dict[str, str], str]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            made.received.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(made.status)
            if made.location:
                self.send_header("Location", made.location)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}/hook?a=1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_networks": ["127.0.0.0/8"]})


@pytest.fixture
def local(app: FastAPI) -> TestClient:
    """Return a client on the server's host."""
    return TestClient(app, base_url=BASE_URL, client=("127.0.0.1", 50000))


def create(local: TestClient, url: str, *types: str) -> Any:
    new = {"name": "n", "url": url, "event_types": types or [SUCCEEDED, FAILED, CANCELLED]}
    response = local.post("/v1/webhook_endpoints", json=new)
    assert response.status_code == 200, response.text
    return response.json()


def deliver(database: Database, settings: Settings) -> None:
    """Make every try that is due."""
    courier = Courier(database, settings)
    while claimed := courier.claim_due():
        for each in claimed:
            courier.deliver(each)


def end_job(player: Player) -> str:
    """Cancel a new job and return its id."""
    job = player.submit()
    player.client.post(f"/v1/jobs/{job}/cancel")
    return job


def deliveries(local: TestClient, endpoint: Any) -> Any:
    return local.get(f"/v1/webhook_endpoints/{endpoint['id']}/deliveries").json()["data"]


def make_due(database: Database) -> None:
    with database.writing() as session:
        past = database_now(session) - timedelta(seconds=1)
        session.execute(update(WebhookDelivery).values(next_at=past))


def signature(secret: str, headers: dict[str, str], body: str) -> str:
    """Return the signature as Standard Webhooks defines it."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}".encode()
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


def test_the_end_of_a_job_is_sent_once_and_signed(
    local: TestClient, player: Player, database: Database, settings: Settings, receiver: Receiver
) -> None:
    endpoint = create(local, receiver.url)
    other = create(local, receiver.url, FAILED)
    succeeded = player.submit()
    player.succeed(player.claim())
    cancelled = end_job(player)

    deliver(database, settings)
    deliver(database, settings)

    events = [json.loads(body) for _, body in receiver.received]
    assert [(e["type"], e["data"]["job"]) for e in events] == [
        (SUCCEEDED, succeeded),
        (CANCELLED, cancelled),
    ]
    assert events[0]["data"]["id"] == succeeded.replace("job_", "ftjob-")
    for headers, body in receiver.received:
        assert headers["webhook-id"] == json.loads(body)["id"]
        assert headers["webhook-signature"] == signature(endpoint["signing_secret"], headers, body)
    assert [d["status"] for d in deliveries(local, endpoint)] == ["delivered", "delivered"]
    assert deliveries(local, other) == []


def test_a_failed_delivery_is_retried_later_and_is_dead_after_the_last_try(
    local: TestClient, player: Player, database: Database, settings: Settings, receiver: Receiver
) -> None:
    endpoint = create(local, receiver.url)
    end_job(player)
    receiver.status = 503
    deliver(database, settings)
    deliver(database, settings)
    assert len(receiver.received) == 1  # the second try is not due
    (waiting,) = deliveries(local, endpoint)
    assert (waiting["status"], waiting["next_at"] - waiting["tries"][0]["at"]) == ("pending", 5)

    for _ in range(len(RETRY_SECONDS) + 2):
        make_due(database)
        deliver(database, settings)

    (dead,) = deliveries(local, endpoint)
    assert (dead["status"], dead["next_at"]) == ("dead", None)
    assert [(t["status"], t["error"]) for t in dead["tries"]] == [(503, "status")] * 8
    assert len(receiver.received) == 8
    assert len({headers["webhook-id"] for headers, _ in receiver.received}) == 1


def test_a_try_by_a_killed_server_is_repeated_and_its_late_result_is_ignored(
    local: TestClient, player: Player, database: Database, settings: Settings, receiver: Receiver
) -> None:
    endpoint = create(local, receiver.url)
    end_job(player)
    courier = Courier(database, settings)
    (lost,) = courier.claim_due()
    assert courier.claim_due() == []
    make_due(database)

    deliver(database, settings)
    receiver.status = 500
    courier.deliver(lost)

    (delivered,) = deliveries(local, endpoint)
    assert (delivered["status"], len(delivered["tries"])) == ("delivered", 1)


def test_after_a_rotation_requests_are_signed_with_both_secrets_if_the_old_one_is_kept(
    local: TestClient, player: Player, database: Database, settings: Settings, receiver: Receiver
) -> None:
    old = create(local, receiver.url)
    path = f"/v1/webhook_endpoints/{old['id']}"
    keep = {"keep_old_secret_active_for_24_hours": True}
    new = local.post(f"{path}/rotate_secret", json=keep).json()
    assert "signing_secret" not in local.get(path).json()
    end_job(player)

    deliver(database, settings)

    ((headers, body),) = receiver.received
    expected = [signature(each["signing_secret"], headers, body) for each in (new, old)]
    assert headers["webhook-signature"].split() == expected
    assert old["signing_secret"] != new["signing_secret"]

    newest = local.post(f"{path}/rotate_secret").json()
    end_job(player)
    deliver(database, settings)

    headers, body = receiver.received[1]
    assert headers["webhook-signature"] == signature(newest["signing_secret"], headers, body)


def test_an_endpoint_can_be_changed_and_deleted(
    local: TestClient, player: Player, database: Database, settings: Settings, receiver: Receiver
) -> None:
    endpoint = create(local, receiver.url)
    path = f"/v1/webhook_endpoints/{endpoint['id']}"

    changed = local.post(path, json={"name": "other", "event_types": [CANCELLED]}).json()
    end_job(player)
    assert local.delete(path).json()["deleted"] is True
    deliver(database, settings)

    assert (changed["name"], changed["event_types"]) == ("other", [CANCELLED])
    assert changed["url"] == receiver.url
    assert receiver.received == []
    assert local.get(path).json()["error"]["code"] == "webhook_endpoint_not_found"
    assert local.get("/v1/webhook_endpoints").json()["data"] == []


def test_a_test_returns_the_status_of_the_receiver(local: TestClient, receiver: Receiver) -> None:
    endpoint = create(local, receiver.url)
    path = f"/v1/webhook_endpoints/{endpoint['id']}/test"
    receiver.status = 418

    result = local.post(path, json={"event_type": FAILED}).json()

    assert (result["status_code"], result["event_type"]) == (418, FAILED)
    ((headers, body),) = receiver.received
    assert headers["webhook-signature"] == signature(endpoint["signing_secret"], headers, body)
    assert deliveries(local, endpoint) == []
    closed = {"url": "http://127.0.0.1:1/"}
    local.post(f"/v1/webhook_endpoints/{endpoint['id']}", json=closed)
    error = local.post(path, json={"event_type": FAILED}).json()["error"]
    assert (error["code"], "connection" in error["message"]) == ("webhook_test_failed", True)


def test_endpoints_are_listed_in_pages(local: TestClient) -> None:
    ids = [create(local, "https://example.org/")["id"] for _ in range(3)]

    first = local.get("/v1/webhook_endpoints?limit=2").json()
    second = local.get(f"/v1/webhook_endpoints?limit=2&after={first['last_id']}").json()

    assert [each["id"] for page in (first, second) for each in page["data"]] == ids
    assert (first["has_more"], second["has_more"], second["first_id"]) == (True, False, ids[2])


def test_a_slow_receiver_does_not_delay_other_receivers(
    local: TestClient,
    player: Player,
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The second delivery begins when the first has ended, not at the next search.
    monkeypatch.setattr("app.webhooks.courier.POLL_SECONDS", 3600)
    slow, quick = create(local, "http://127.0.0.1:1/slow"), create(local, "http://127.0.0.1:1/")
    for _ in range(2):
        end_job(player)
    is_over = threading.Event()

    def respond(url: str, *_: object) -> Answer:
        if url.endswith("/slow"):
            is_over.wait(60)
        return Answer(204, None)

    def states(endpoint: Any) -> list[str]:
        return [each["status"] for each in deliveries(local, endpoint)]

    async def until_delivered(endpoint: Any) -> None:
        for _ in range(3000):
            if await to_thread.run_sync(states, endpoint) == ["delivered"] * 2:
                return
            await asyncio.sleep(0.01)
        pytest.fail(f"not delivered: {states(endpoint)}")

    async def watch() -> None:
        running = asyncio.create_task(Courier(database, settings, respond).run())
        await until_delivered(quick)
        assert await to_thread.run_sync(states, slow) == ["pending"] * 2
        is_over.set()
        await until_delivered(slow)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(watch())


def test_other_machines_cannot_manage_endpoints(player: Player) -> None:
    response = player.client.get("/v1/webhook_endpoints")

    assert (response.status_code, response.json()["error"]["code"]) == (403, "webhooks_local_only")


def test_what_a_proxy_on_the_servers_host_forwards_cannot_manage_endpoints(
    local: TestClient, app: FastAPI
) -> None:
    def status(name: str) -> int:
        headers = {name: "192.0.2.7"}
        return local.get("/v1/webhook_endpoints", headers=headers).status_code

    names = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via")
    assert [status(name) for name in names] == [403] * 4

    # uvicorn has replaced the address of a trusted proxy by that of its client.
    app.state.settings = app.state.settings.model_copy(update={"trusted_proxies": ["127.0.0.1/32"]})
    assert [status(name) for name in names] == [200] * 4


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://10.0.0.1/", "webhook_address_refused"),
        ("http://[::ffff:169.254.169.254]/", "webhook_address_refused"),
        ("ftp://example.org/", "webhook_url_invalid"),
        ("https://user:secret@example.org/", "webhook_url_invalid"),
    ],
)
def test_a_url_that_the_server_will_not_call_is_rejected(
    local: TestClient, url: str, code: str
) -> None:
    new = {"name": "n", "url": url, "event_types": [SUCCEEDED]}
    error = local.post("/v1/webhook_endpoints", json=new).json()["error"]

    assert (error["code"], error["param"]) == (code, "url")
