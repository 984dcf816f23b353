"""The worker's end of the doorbell: decides which broker messages are rings. No other module reads messages.

Anyone who can reach the broker can push onto a queue, and Celery and kombu trust the messages they find there: a dict
as the task id crashes the worker, and a time limit in a header kills its pool process. Therefore, this module checks
the raw bytes of each message before Celery or kombu parses it. It replaces a valid ring with a newly built one that
contains no data from the original; it discards and logs any other message. No message is redelivered: if a ring is
lost, the server's sweep rings again.
"""

import base64
import json
import re
import uuid
from typing import Any, Literal

import structlog
from celery.app.amqp import AMQP
from kombu import Connection
from kombu.transport import redis as kombu_redis
from pydantic import Field, ValidationError
from redis import Redis

from contracts.base import Tolerant
from contracts.protocol.wire import TASK_NAME

log = structlog.get_logger(__name__)

MAX_BYTES = 64 * 1024
"""A ring is about 1,000 bytes long."""
NO_ARGUMENTS = base64.b64encode(b"[[], {}, {}]").decode()
"""The body of a ring: positional arguments, keyword arguments, and callbacks."""


class _Headers(Tolerant):
    task: str = Field(pattern=f"^{re.escape(TASK_NAME)}$")
    id: str


class _Ring(Tolerant):
    """A message of Celery's protocol 2 that names our task. Other fields are ignored."""

    headers: _Headers
    content_type: Literal["application/json"] = Field(alias="content-type")


def reject_reason(message: bytes) -> str | None:
    """Return why a message is not a ring; None if it is one."""
    if len(message) > MAX_BYTES:
        return f"longer than {MAX_BYTES} bytes"
    try:
        _Ring.model_validate_json(message)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg']}" if place else first["msg"]
    return None


def make_ring(queue: str) -> bytes:
    """Return a ring for a queue, in the format that kombu expects from the broker."""
    task_id = str(uuid.uuid4())
    message = {
        "body": NO_ARGUMENTS,
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"lang": "py", "task": TASK_NAME, "id": task_id, "ignore_result": True},
        "properties": {
            "body_encoding": "base64",
            "correlation_id": task_id,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "delivery_tag": str(uuid.uuid4()),
            "priority": 0,
        },
    }
    return json.dumps(message).encode()


class _Client(Redis):
    """Passes on rings and discards every other message received on a queue."""

    def parse_response(self, connection: Any, command_name: str | bytes, **options: Any) -> Any:
        answer = super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]  # untyped in redis
        if command_name != "BRPOP" or not answer:
            return answer
        key, message = answer
        queue = key.decode(errors="replace").partition(kombu_redis.Channel.sep)[0]
        reason = reject_reason(message)
        if reason is None:
            return key, make_ring(queue)
        log.warning(
            "discarded a message that is not a ring", queue=queue, bytes=len(message), reason=reason
        )
        return None  # as if the queue were empty


class _Channel(kombu_redis.Channel):  # type: ignore[misc]  # kombu ships no types
    def _get_client(self) -> type[Redis]:
        super()._get_client()  # checks the version of the redis package
        return _Client


class _Transport(kombu_redis.Transport):  # type: ignore[misc]  # kombu ships no types
    Channel = _Channel


class _Connection(Connection):  # type: ignore[misc]  # kombu ships no types
    def get_transport_cls(self) -> Any:
        found = super().get_transport_cls()
        return _Transport if found is kombu_redis.Transport else found


class RingsOnly(AMQP):  # type: ignore[misc]  # celery ships no types
    """Celery's interface to the broker, with a connection that receives only rings."""

    Connection = _Connection
