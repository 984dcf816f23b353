"""A real HTTP server with scripted responses, including those that a healthy Stepline server never sends."""

import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Answer:
    """One scripted response. `cut` closes the connection without a response."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


@dataclass(frozen=True)
class Request:
    """One received request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class ScriptedServer:
    """Sends the scripted responses in order, and then repeats the last one."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = deque(answers)
        self.requests: list[Request] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.requests.append(
                    Request(self.command, self.path, dict(self.headers.items()), body)
                )
                answer = outer.answers.popleft() if len(outer.answers) > 1 else outer.answers[0]
                if answer.cut:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_POST = do_PUT = handle_any  # noqa: N815  # http.server's names

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def error_answer(status: int, code: str, **headers: str) -> Answer:
    """Return an error response in the API's format."""
    body = f'{{"error": {{"message": "no", "type": "x", "param": null, "code": "{code}"}}}}'
    return Answer(
        status, body.encode(), {name.replace("_", "-"): value for name, value in headers.items()}
    )


def proxy_answer(status: int) -> Answer:
    """Return the response of a proxy or portal in front of the server."""
    headers = {"Content-Type": "text/html", "Location": "/maintenance"}
    return Answer(status, b"<html>page not found</html>", headers)
