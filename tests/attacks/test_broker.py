"""Forged messages on the broker: anyone who can reach it can ring the doorbell but can do nothing else.

Each message in FORGED is one attack; to add an attack, add a line. The tests push them onto the queue unchanged, without Celery.
"""

import base64
import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from redis import Redis

from contracts.protocol.wire import TASK_NAME, celery_queue
from tests.e2e.service import Service, wait_for
from tests.programs.processes import children_of

QUEUE = celery_queue("default")


def _headers(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda ring: ring | {"headers": ring["headers"] | changes}


def _body(body: Any, **changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda ring: ring | {"body": base64.b64encode(text).decode()} | changes


def _without(*names: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda ring: {name: value for name, value in ring.items() if name not in names}


def _raw(text: bytes) -> Callable[[dict[str, Any]], bytes]:
    return lambda _: text


FORGED: dict[str, Callable[[dict[str, Any]], dict[str, Any] | bytes]] = {
    "the id is a dict": _headers(id={"a": 1}),
    "the id is a list": _headers(id=[1, 2]),
    "the id is null": _headers(id=None),
    "the id is a number": _headers(id=7),
    "the task is unknown": _headers(task="os.system"),
    "the task is one of Celery's own": _headers(task="celery.chord_unlock"),
    "the task is a dict": _headers(task={}),
    "the task is null": _headers(task=None),
    "no headers": _without("headers"),
    "headers are null": lambda ring: ring | {"headers": None},
    "headers are a list": lambda ring: ring | {"headers": [TASK_NAME]},
    "headers are empty": lambda ring: ring | {"headers": {}},
    "protocol 1": lambda ring: _body({"task": TASK_NAME, "id": "1", "args": [], "kwargs": {}})(
        ring | {"headers": {}}
    ),
    "a pickle": _body(
        b"cos\nsystem\n(S'true'\ntR.", **{"content-type": "application/x-python-serialize"}
    ),
    "YAML": _body(
        b"!!python/object/apply:os.system ['true']", **{"content-type": "application/x-yaml"}
    ),
    "no content type": _without("content-type"),
    "the content type is a dict": lambda ring: ring | {"content-type": {}},
    "a body of ten megabytes": _body([["x" * 10_000_000], {}, {}]),
    "not JSON": _raw(b"\x00\xffgarbage"),
    "an empty message": _raw(b""),
    "base64": _raw(base64.b64encode(b'{"task": "x"}')),
    "a JSON string": _raw(b'"ring"'),
    "a JSON number": _raw(b"7"),
    "a JSON list": _raw(b"[[], {}, {}]"),
    "null": _raw(b"null"),
    "an empty object": _raw(b"{}"),
    "brackets ten thousand deep": _raw(b"[" * 10_000 + b"]" * 10_000),
    "brackets a million deep": _raw(b"[" * 1_000_000 + b"]" * 1_000_000),
    "a number of ten thousand digits": _raw(b'{"headers": ' + b"9" * 10_000 + b"}"),
    "a kombu type with an invalid value": _raw(b'{"__type__": "uuid", "__value__": {"a": 1}}'),
}
"""Messages that were made from a real ring but are not rings. The worker discards each one once, with one log line."""

HARMLESS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "time limits": _headers(timelimit=[0.001, 0.001]),
    "time limits of the wrong type": _headers(timelimit={"a": []}),
    "an expiry in the past": _headers(expires="1970-01-01T00:00:00+00:00"),
    "an expiry that is not a time": _headers(expires=["soon"]),
    "an eta in the far future": _headers(eta="9000-01-01T00:00:00+00:00"),
    "an eta that is not a time": _headers(eta={"at": 1}),
    "retries": _headers(retries=10**30),
    "a group and a root of the wrong type": _headers(group=[], root_id={}, parent_id=1),
    "a dict as its shadow name": _headers(shadow={"a": 1}),
    "long descriptions of its arguments": _headers(argsrepr="x" * 30_000, kwargsrepr=["y"]),
    "a compression header": _headers(compression="zlib"),
    "an empty body": lambda ring: ring | {"body": ""},
    "a body that is not base64": lambda ring: ring | {"body": "%%%"},
    "a body that is a dict": lambda ring: ring | {"body": {"a": 1}},
    "a body with the wrong structure": _body({"a": 1}),
    "arguments that the task does not take": _body([[1, 2], {"a": 1}, {}]),
    "callbacks, errbacks, chain and chord": _body(
        [
            [],
            {},
            {
                name: [{"task": "x", "args": [], "kwargs": {}, "options": {"queue": "elsewhere"}}]
                for name in ("callbacks", "errbacks", "chain", "chord")
            },
        ]
    ),
    "a reply queue": lambda ring: (
        ring | {"properties": ring["properties"] | {"reply_to": "elsewhere", "correlation_id": {}}}
    ),
    "no properties": _without("properties"),
    "delivery properties of the wrong type": lambda ring: (
        ring | {"properties": {"delivery_info": [], "delivery_tag": {}, "priority": "high"}}
    ),
    "an unknown body encoding": lambda ring: (
        ring | {"properties": ring["properties"] | {"body_encoding": "rot13"}}
    ),
    "a content encoding that is a list": lambda ring: ring | {"content-encoding": ["x"]},
}
"""Rings with extra content, which has no effect."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Yield a service whose worker has no model, so that a ring only makes it try to claim a job."""
    with Service(tmp_path_factory.mktemp("service"), STEPLINE_DOORBELL="false") as running:
        yield running


@pytest.fixture(scope="module")
def broker(service: Service) -> Iterator[Redis]:
    with Redis(unix_socket_path=service.broker_url.removeprefix("redis+socket://")) as client:
        yield client


@pytest.fixture(scope="module")
def ring(service: Service, broker: Redis) -> dict[str, Any]:
    """Return the ring that the server sends."""
    with Celery(broker=service.broker_url, set_as_current=False) as app:
        app.send_task(TASK_NAME, queue="captured", ignore_result=True)
    captured: dict[str, Any] = json.loads(broker.rpop("captured"))  # type: ignore[arg-type]
    return captured


class Worker:
    """A worker, observed through its log and its process ids."""

    def __init__(self, service: Service) -> None:
        self._part = service.parts["worker"]
        wait_for(lambda: self.count("ready.") == 1, 10, self._part.last_lines)  # the pool is up
        self.processes = (self._part.pid, *children_of(self._part.pid))

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(x) for x in self._part.log.read_text().splitlines() if x.startswith("{")]

    def count(self, event: str) -> int:
        return sum(event in line["event"] for line in self.lines())

    def discarded(self) -> int:
        return self.count("discarded")

    def handled(self) -> int:
        return self.count("succeeded in")

    def is_unchanged(self) -> bool:
        return self._part.is_running and self.processes == (
            self._part.pid,
            *children_of(self._part.pid),
        )

    def wait_for(self, is_met: Callable[[], bool]) -> None:
        def check() -> bool:
            assert self.is_unchanged(), self._part.last_lines()
            return is_met()

        wait_for(check, 10, self._part.last_lines)


@pytest.fixture(scope="module")
def worker(service: Service) -> Worker:
    return Worker(service)


def _push(broker: Redis, message: dict[str, Any] | bytes) -> None:
    broker.lpush(QUEUE, message if isinstance(message, bytes) else json.dumps(message))


@pytest.mark.parametrize("name", FORGED)
def test_a_message_that_is_not_a_ring_is_discarded_once(
    broker: Redis, worker: Worker, ring: dict[str, Any], name: str
) -> None:
    discarded, handled = worker.discarded(), worker.handled()

    _push(broker, FORGED[name](copy.deepcopy(ring)))

    worker.wait_for(lambda: worker.discarded() == discarded + 1)
    assert worker.handled() == handled
    assert broker.llen(QUEUE) == 0


def test_a_ring_after_all_forged_messages_is_handled(
    broker: Redis, worker: Worker, ring: dict[str, Any]
) -> None:
    discarded, handled = worker.discarded(), worker.handled()

    for forge in FORGED.values():
        _push(broker, forge(copy.deepcopy(ring)))
    _push(broker, ring)

    worker.wait_for(lambda: worker.handled() == handled + 1)
    assert worker.discarded() == discarded + len(FORGED)


@pytest.mark.parametrize("name", HARMLESS)
def test_extra_content_in_a_ring_has_no_effect(
    broker: Redis, worker: Worker, ring: dict[str, Any], name: str
) -> None:
    discarded, handled = worker.discarded(), worker.handled()
    before = set(broker.scan_iter("*"))

    _push(broker, HARMLESS[name](copy.deepcopy(ring)))

    worker.wait_for(lambda: worker.handled() == handled + 1)
    assert worker.discarded() == discarded
    assert set(broker.scan_iter("*")) <= before | {QUEUE.encode()}  # nothing was published


@pytest.mark.parametrize("priority", [3, 6, 9])
def test_messages_with_another_priority_are_handled_too(
    broker: Redis, worker: Worker, ring: dict[str, Any], priority: int
) -> None:
    discarded, handled = worker.discarded(), worker.handled()
    queue = f"{QUEUE}\x06\x16{priority}"

    broker.lpush(queue, json.dumps(_headers(id={})(ring)), json.dumps(ring))

    worker.wait_for(lambda: worker.handled() == handled + 1)
    assert worker.discarded() == discarded + 1


def test_messages_marked_as_in_flight_are_left_alone(
    broker: Redis, worker: Worker, ring: dict[str, Any]
) -> None:
    broker.hset("unacked", mapping={"1": json.dumps([ring, "", QUEUE]), "2": "garbage"})
    broker.zadd("unacked_index", {"1": 0, "2": 0})
    handled = worker.handled()

    _push(broker, ring)

    worker.wait_for(lambda: worker.handled() == handled + 1)
    assert broker.hlen("unacked") == 2
    broker.delete("unacked", "unacked_index")


def test_the_worker_recovers_from_a_queue_that_is_not_a_list(
    broker: Redis, worker: Worker, ring: dict[str, Any]
) -> None:
    errors, handled = worker.count("ResponseError"), worker.handled()

    broker.set(QUEUE, "not a list")

    worker.wait_for(lambda: worker.count("ResponseError") > errors)
    broker.delete(QUEUE)
    _push(broker, ring)
    worker.wait_for(lambda: worker.handled() == handled + 1)
