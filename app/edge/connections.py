"""Connection: uvicorn's HTTP/1.1 protocol with deadlines, a per-peer limit, and errors in the API's JSON format.

uvicorn closes only connections that are idle after a response. A client that sends nothing, sends only part of a
request, or never reads the response could keep its connection open forever. Here, a connection is always in one phase,
derived from the parser's state after each event. Each phase has a deadline, except while the application is working:
the server is then not waiting for the client, and long polls and streams may take a long time.
"""

import asyncio
import contextlib
import enum
import fcntl
import re
import struct
import sys
import termios
import uuid
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar

import h11
import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from app.edge.limits import ConnectionLimits
from app.edge.middleware import REQUEST_ID_HEADER
from app.edge.peers import peer_of
from app.errors.base import AppError, error_response
from app.errors.kinds import BodyTimeout, HeadTimeout, HeadTooLarge, InvalidHttp, TooManyConnections
from app.http.negotiation.language import choose_language

log = structlog.get_logger(__name__)

MOST_HEAD_BYTES = 16 * 1024
"""Maximum total length of the request line and headers."""
LINGER_SECONDS = 2.0
"""How long a rejected client has to read the error. Closing immediately would reset the connection and lose the
response."""
MOST_REJECTED = 32
"""Number of a peer's excess connections that get an error response. Further ones are closed without one."""

_HEAD_END = re.compile(rb"\n\r?\n")


class Phase(enum.Enum):
    """The phase of a connection: what it is waiting for."""

    IDLE = enum.auto()
    """The first byte of another request."""
    HEAD = enum.auto()
    """The rest of a request's head, or the whole head on a new connection."""
    BODY = enum.auto()
    """More of a request's body."""
    WORK = enum.auto()
    """The application."""
    SEND = enum.auto()
    """The client to receive the bytes already written."""
    LINGER = enum.auto()
    """The client to read the error. The server discards further input."""


class Connection(H11Protocol):
    """One connection of a client."""

    limits: ClassVar[ConnectionLimits]
    peers: ClassVar[Counter[str]]
    """Connections per peer. Each server has its own subclass, because uvicorn has no other way to pass data to a
    protocol."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.app = self._watched(self.app)
        self._peer = ""
        self._phase = Phase.HEAD
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._bytes = 0
        """In BODY: bytes received in this window. In SEND: bytes not yet received by the client at the start of the
        window."""
        self._is_lost = False
        self._is_new = True
        """True until the first byte arrives."""
        self._has_head_begun = True
        """Between requests: whether the next request's head has begun, which starts its deadline."""

    # Events

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, or reject it if its peer has too many."""
        super().connection_made(transport)
        self.flow = _Flow(transport, self._watch)
        self._peer = peer_of(self.client)
        self.peers[self._peer] += 1
        count, most = self.peers[self._peer], self.limits.per_peer
        if not most or count <= most:
            self._begin(Phase.HEAD)
        elif count <= most + MOST_REJECTED:
            self._reject(TooManyConnections(limit=most))
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection from the count and cancel its timer."""
        self._is_lost = True
        self.peers[self._peer] -= 1
        if not self.peers[self._peer]:
            del self.peers[self._peer]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Process received bytes."""
        if self._phase is Phase.LINGER:
            return
        self._is_new = False
        if self.conn.their_state is h11.IDLE:
            self._has_head_begun = True
            head = self.conn.trailing_data[0] + data
            if len(head) > MOST_HEAD_BYTES and not _HEAD_END.search(head, 0, MOST_HEAD_BYTES):
                # The parser has the same limit, but accepts a longer head if it is completed by the last chunk.
                self._reject(HeadTooLarge(limit=MOST_HEAD_BYTES))
                return
        if self._phase is Phase.BODY:
            self._bytes += len(data)
        super().data_received(data)
        self._watch()

    def eof_received(self) -> None:
        """Let asyncio close the connection once the client has received everything written."""
        self.loop.call_soon(self._watch)

    def pause_writing(self) -> None:
        """Record that the client reads more slowly than the server writes."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """Record that the client has caught up."""
        super().resume_writing()
        self._watch()

    def on_response_complete(self) -> None:
        """Start waiting for the next request."""
        super().on_response_complete()
        self._unset_keepalive_if_required()  # cancels uvicorn's idle timer; ours replaces it
        self._has_head_begun = bool(self.conn.trailing_data[0])
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Respond to input that is not HTTP; uvicorn calls this while it handles the parser's error."""
        error = sys.exception()
        if isinstance(error, h11.RemoteProtocolError):
            if error.error_status_hint == 431:
                self._reject(HeadTooLarge(limit=MOST_HEAD_BYTES))
                return
            msg = str(error).partition(": bytearray(")[0].rstrip(".")  # without the client's bytes
        self._reject(InvalidHttp(problem=msg))

    # Phases and deadlines

    def _watched(self, app: ASGIApp) -> ASGIApp:
        async def run(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            finally:
                self.loop.call_soon(self._watch)  # after uvicorn's own clean-up

        return run

    def _find_phase(self) -> Phase:
        if self._phase is Phase.LINGER:
            return Phase.LINGER
        if self.flow.write_paused or self.transport.is_closing():
            return Phase.SEND
        if self.conn.their_state is h11.IDLE:
            return Phase.HEAD if self._has_head_begun else Phase.IDLE
        # While the application does not read, neither does uvicorn. The client cannot send, so no deadline applies.
        is_paused = self.flow.read_paused or self.cycle.waiting_for_100_continue
        if self.conn.their_state is h11.SEND_BODY and not is_paused:
            return Phase.BODY
        return Phase.WORK

    def _watch(self) -> None:
        if self._is_lost:  # the application may finish after the connection is closed
            return
        phase = self._find_phase()
        if phase is not self._phase:
            self._begin(phase)

    def _begin(self, phase: Phase) -> None:
        self._phase = phase
        self._bytes = self._count_unread() if phase is Phase.SEND else 0
        seconds = {
            Phase.IDLE: self.limits.idle_seconds,
            Phase.HEAD: self.limits.header_seconds,
            Phase.BODY: self.limits.progress_seconds,
            Phase.WORK: None,
            Phase.SEND: self.limits.progress_seconds,
            Phase.LINGER: LINGER_SECONDS,
        }[phase]
        self._deadline = None if seconds is None else self.loop.time() + seconds
        self._set_timer()

    def _set_timer(self) -> None:
        # An existing timer is kept and rescheduled when it fires, because phases change often and timers are expensive
        # to create.
        if self._deadline is None or self._is_lost:
            return
        if self._timer is not None:
            if self._timer.when() <= self._deadline:
                return
            self._timer.cancel()
        self._timer = self.loop.call_at(self._deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        if self.loop.time() < self._deadline:
            self._set_timer()
            return
        match self._phase:
            case Phase.IDLE:
                self.timeout_keep_alive_handler()
                self._watch()
            case Phase.HEAD if self._is_new:
                # Browsers open connections in advance and do not expect a response.
                self.transport.close()
            case Phase.HEAD:
                self._reject(HeadTimeout(seconds=self.limits.header_seconds))
            case Phase.BODY if self._bytes < self.limits.progress_bytes:
                self._reject(
                    BodyTimeout(
                        seconds=self.limits.progress_seconds, bytes=self.limits.progress_bytes
                    )
                )
            case Phase.SEND if self._bytes - self._count_unread() < self.limits.progress_bytes:
                log.info(
                    "connection aborted", reason="the client reads too slowly", peer=self._peer
                )
                self.transport.abort()
            case Phase.BODY | Phase.SEND:
                self._begin(self._phase)  # the client made progress: start another window
            case Phase.LINGER:
                self.transport.abort()

    def _count_unread(self) -> int:
        """Return the number of written bytes that are still buffered or not acknowledged by the client."""
        waiting = self.transport.get_write_buffer_size()
        try:
            number = self.transport.get_extra_info("socket").fileno()
            (queued,) = struct.unpack("i", fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4)))
        except OSError:
            return waiting
        return waiting + int(queued)

    # Rejections

    def _reject(self, error: AppError) -> None:
        """Send an error unless a response has begun, and close the connection."""
        log.info("connection rejected", reason=error.code, peer=self._peer)
        if self.transport.is_closing():
            return
        has_response = self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}
        scope = self.scope if self.conn.our_state is h11.SEND_RESPONSE else None
        if self.cycle is not None and not self.cycle.response_complete:
            # The application sees a disconnect, and uvicorn drops its response.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if has_response:
            self.transport.close()
            self._watch()
            return
        self._write(error, scope)
        self._begin(Phase.LINGER)
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            with contextlib.suppress(OSError):  # the client is already gone
                self.transport.write_eof()

    def _write(self, error: AppError, scope: Any) -> None:
        """Write an error response. `scope` is the request's scope, or None if its head is incomplete."""
        language = choose_language(Headers(scope=scope).get("accept-language") if scope else None)
        request_id = scope["state"].get("request_id") if scope else None
        answer = error_response(
            error,
            language,
            {
                "Connection": "close",
                REQUEST_ID_HEADER: request_id or f"req_{uuid.uuid4().hex}",
                "x-content-type-options": "nosniff",
            },
        )
        is_head = scope is not None and scope["method"] == "HEAD"
        events = (
            h11.Response(
                status_code=answer.status_code,
                reason=HTTPStatus(answer.status_code).phrase.encode(),
                headers=self.server_state.default_headers + answer.raw_headers,
            ),
            h11.Data(data=b"" if is_head else bytes(answer.body)),
            h11.EndOfMessage(),
        )
        self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))


class _Flow(FlowControl):
    """Flow control that calls `on_reading` when the application resumes reading."""

    def __init__(self, transport: asyncio.Transport, on_reading: Callable[[], None]) -> None:
        super().__init__(transport)
        self._on_reading = on_reading

    def resume_reading(self) -> None:
        super().resume_reading()
        self._on_reading()


def connection_class(limits: ConnectionLimits) -> type[Connection]:
    """Return a protocol class for one server, for uvicorn's `http` option."""

    class LimitedConnection(Connection):
        pass

    LimitedConnection.limits, LimitedConnection.peers = limits, Counter()
    return LimitedConnection
