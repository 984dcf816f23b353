"""Outermost middleware: request ids, log lines, body limits, and the error response for unexpected exceptions."""

import re
import time
import uuid

import structlog
from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors.base import error_response
from app.errors.kinds import InternalError
from app.http.language import choose_language

log = structlog.get_logger(__name__)

REQUEST_ID_HEADER = "x-request-id"
JSON_LIMIT_BYTES = 1024 * 1024
"""Largest body of a user's JSON request."""
SYNC_LIMIT_BYTES = 64 * 1024 * 1024
"""Largest body of a worker's JSON request: a thousand records and a chunk of output."""
MULTIPART_OVERHEAD_BYTES = 64 * 1024
_SAFE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")
_QUIET_PATHS = {"/healthz", "/readyz"}


class Edge:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, max_upload_bytes: int) -> None:
        self._app = app
        self._max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["state"]["request_id"] = request_id
        reply = _Reply(send, request_id)
        began = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, _limited(receive, self._limit(scope)), reply.send)
            except ClientDisconnect:
                log.info("client went away", path=scope["path"])
            except Exception:
                # An exception that reaches this point is a bug; the client still gets the standard error body.
                log.exception("request failed", method=scope["method"], path=scope["path"])
                if reply.status is None:
                    language = choose_language(Headers(scope=scope).get("accept-language"))
                    answer = error_response(InternalError(request_id=request_id), language)
                    await answer(scope, receive, reply.send)
            if scope["path"] not in _QUIET_PATHS:
                log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=reply.status,
                    milliseconds=round((time.perf_counter() - began) * 1000, 1),
                    **_ids(scope),
                )

    def _limit(self, scope: Scope) -> int:
        path = scope["path"]
        if path.startswith("/v1/datasets"):
            return self._max_upload_bytes + MULTIPART_OVERHEAD_BYTES
        if path.startswith("/internal/"):
            return self._max_upload_bytes if scope["method"] == "PUT" else SYNC_LIMIT_BYTES
        return JSON_LIMIT_BYTES


class _Reply:
    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID_HEADER] = self._request_id
            headers["x-content-type-options"] = "nosniff"
        await self._send(message)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
    return given if _SAFE_REQUEST_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"


def _ids(scope: Scope) -> dict[str, str]:
    found = scope.get("path_params") or {}
    return {name: str(found[name])[:100] for name in ("job_id", "attempt_id") if name in found}


def _limited(receive: Receive, limit: int) -> Receive:
    taken = 0

    async def receive_counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise HTTPException(status_code=413, detail=str(limit))
        return message

    return receive_counted
