"""A local server that implements the part of the hub's HTTP API that its client libraries use."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Serves the model `team/tiny` and the dataset `team/rows`, both at one commit. The revision `absent` does not exist, and `gated` needs permission."""

    def __init__(
        self, model_files: dict[str, bytes], dataset_files: dict[str, bytes] | None = None
    ) -> None:
        files = {"models/team/tiny": model_files, "datasets/team/rows": dataset_files or {}}
        outer = self
        self.downloaded: list[str] = []
        self.tokens: set[str | None] = set()
        self.claimed_bytes: int | None = None
        """The size that the hub claims for each file of a dataset; None: the real one."""
        self.etag: str | None = None
        """The ETag of every file; None: the hash of its content."""
        self.opened = threading.Event()
        """Downloads wait until it is set."""
        self.opened.set()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(has_body=True)

            def do_HEAD(self) -> None:
                self._answer(has_body=False)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self._answer(has_body=True)

            def _answer(self, has_body: bool) -> None:
                outer.tokens.add(self.headers.get("Authorization"))
                status, body, headers = outer.find(files, self.path.split("?")[0], self.command)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if has_body:
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def find(
        self, repositories: dict[str, dict[str, bytes]], path: str, method: str
    ) -> tuple[int, bytes, dict[str, str]]:
        for repository, files in repositories.items():
            kind, _, name = repository.partition("/")
            if path.startswith(f"/api/{repository}/tree/"):
                tree = [
                    {
                        "type": "file",
                        "path": file,
                        "size": len(content),
                        "oid": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
                    }
                    for file, content in files.items()
                ]
                return 200, json.dumps(tree).encode(), {}
            if path.startswith(f"/api/{repository}"):
                if path.endswith(("/revision/absent", "/revision/gated")):
                    code = "GatedRepo" if path.endswith("gated") else "RevisionNotFound"
                    status = 403 if code == "GatedRepo" else 404
                    return status, b'{"error": "no"}', {"X-Error-Code": code}
                siblings = [
                    {"rfilename": file, "size": self.claimed_bytes or len(files[file])}
                    for file in files
                ]
                info = {"id": name, "sha": COMMIT, "siblings": siblings, "tags": [], "downloads": 0}
                return 200, json.dumps(info).encode(), {}
            prefix = f"/{name}/resolve/" if kind == "models" else f"/{repository}/resolve/"
            if path.startswith(prefix):
                file = path.removeprefix(prefix).partition("/")[2]
                if file in files:
                    self.opened.wait(60)
                    if method == "GET":
                        self.downloaded.append(file)
                    digest = hashlib.sha1(files[file], usedforsecurity=False).hexdigest()
                    etag = self.etag or digest
                    return 200, files[file], {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}
                return 404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}
        return 404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def files_of(model: Path) -> dict[str, bytes]:
    """Return the files of a model's directory."""
    return {path.name: path.read_bytes() for path in model.iterdir() if path.is_file()}
