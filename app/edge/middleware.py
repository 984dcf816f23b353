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
from app.http.body_limits import body_kind
from app.http.negotiation.language import choose_language

log = structlog.get_logger(__name__)

REQUEST_ID_HEADER = "x-request-id"
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
                await self._app(scope, _limited(scope, receive, self._max_upload_bytes), reply.send)
            except ClientDisconnect:
                log.info("client went away", path=scope["path"])
            except Exception:
                # An exception here is a bug. The client still gets the standard error body.
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


def _limited(scope: Scope, receive: Receive, max_upload_bytes: int) -> Receive:
    """Return a `receive` that raises if the body is longer than the route allows.

    The limit is looked up when the body is read, because only then has the router added the route to the scope.
    """
    received = 0

    async def receive_counted() -> Message:
        nonlocal received
        limit = body_kind(scope).limit_bytes(max_upload_bytes)
        if received == 0 and _declared_bytes(scope) > limit:
            # Check before the first call to `receive`, which makes uvicorn send "100 Continue" to a waiting client.
            raise _too_large(limit)
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise _too_large(limit)
        return message

    return receive_counted


def _declared_bytes(scope: Scope) -> int:
    """Return the request's Content-Length, or 0 if it has none."""
    given = Headers(scope=scope).get("content-length", "")
    return int(given) if given.isascii() and given.isdecimal() else 0


def _too_large(limit: int) -> HTTPException:
    # Not BodyTooLarge: while FastAPI reads a body, it converts all exceptions except HTTPException to a 400.
    # app/http/handlers.py converts this exception to the standard error body.
    return HTTPException(status_code=413, detail=str(limit))
