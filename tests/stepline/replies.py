"""A server whose responses a test chooses, for servers that no Stepline service is: hostile, older, frozen."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, str, bytes] | None
"""Status, media type and body; None closes the connection without a response."""

ABSENT = (
    *("name", "phase", "eta_seconds", "queue_position", "last_loss", "eval_loss", "error"),
    *("cancel_requested_at", "pause_requested_at", "started_at", "ended_at"),
)
"""Fields that may be null."""
TIME = "2026-01-01T00:00:00Z"


def as_json(content: Any, status: int = 200) -> Reply:
    return status, "application/json", json.dumps(content).encode()


def as_page(*items: Any) -> Reply:
    return as_json({"data": items, "has_more": False, "cursor": None})


def as_stream(*events: tuple[str, Any]) -> Reply:
    sent = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
    return 200, "text/event-stream", f"{sent}event: done\ndata: {{}}\n\n".encode()


def job(**changes: Any) -> dict[str, Any]:
    """Return a job as the API does."""
    progress = {"step": 1, "total_steps": 2, "epoch": 1.0, "percent": 50.0}
    absent = dict.fromkeys(ABSENT)
    rest = {"attempt": 1, "unreachable": False, "created_at": TIME, "labels": {}, "spec": {}}
    return absent | rest | {"id": "job_1", "status": "succeeded", "progress": progress} | changes


@contextmanager
def replying(reply: Callable[[str, str], Reply]) -> Iterator[str]:
    """Yield the address of a server that answers with `reply(method, path)`."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            chosen = reply(self.command, self.path)
            if chosen is None:
                return
            status, kind, body = chosen
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815  # the names that the base class requires

        def log_message(self, *about: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
