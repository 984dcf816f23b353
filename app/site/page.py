"""Serves the web page, which is built from web/. If there is no build, `/` explains how to create one.

The page has a fixed list of paths. For any other path, browsers get the page with status 404, which reports that the
path does not exist; other clients get the API's JSON error. The build is small, so the server compresses it once and
keeps it in memory. Starlette's StaticFiles cannot set headers per file, so it is not used.
"""

import functools
import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response

from app.errors.kinds import PathNotFound
from app.http.handlers import on_http_error
from app.http.headers.etags import holds
from app.http.negotiation.accept import preferences

BUILD_DIR = Path(__file__).parent.parent / "static"
PATHS = ("/", "/jobs/{job_id}", "/compare", "/new", "/datasets", "/workers", "/docs")
API_PATHS = ("/v1/", "/internal/", "/assets/")
"""Prefixes of paths that never belong to the page."""
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Referrer-Policy": "same-origin",
}
FOREVER = "public, max-age=31536000, immutable"
UNBUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Stepline</title>
<h1>Stepline</h1><p>The API is running, but the page has not been built yet. In the source tree, run
<code>./script/page</code> and restart the server.</p><p lang="zh">API 已启动，但页面尚未构建。请在源码目录执行
<code>./script/page</code>，然后重启服务。</p><p><a href="/openapi.json">/openapi.json</a></p></html>
"""

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class _File:
    content: bytes
    compressed: bytes
    media_type: str
    etag: str

    def answer(self, request: Request, headers: dict[str, str]) -> Response:
        """Return the file, or 304 if the client already has it."""
        headers = headers | {"ETag": self.etag, "Vary": "Accept-Encoding"}
        if holds(request.headers.get("if-none-match"), self.etag):
            return Response(status_code=304, headers=headers)
        return self.send(request, headers, 200)

    def send(self, request: Request, headers: dict[str, str], status: int) -> Response:
        """Return the file, compressed if the client accepts gzip."""
        content = self.content
        if _accepts_gzip(request.headers.get("accept-encoding", "")):
            headers = headers | {"Content-Encoding": "gzip"}
            content = self.compressed
        return Response(content, status, headers, self.media_type)


class Page:
    """The files of one build."""

    def __init__(self, directory: Path) -> None:
        files = [path for path in sorted(directory.glob("**/*")) if path.is_file()]
        self._files = {
            path.relative_to(directory).as_posix(): _read(path, path.stat().st_mtime_ns)
            for path in files
        }

    @property
    def index(self) -> _File:
        """The HTML document, which is the same for every path of the page."""
        return self._files.get("index.html") or _file(UNBUILT.encode(), "text/html")

    def asset(self, name: str) -> _File:
        """Return a file whose name contains the hash of its content. Raises PathNotFound."""
        found = self._files.get(f"assets/{name}")
        if found is None:
            raise PathNotFound(path=f"/assets/{name}"[:200])
        return found


async def show_page(request: Request) -> Response:
    """Return the page, whose router decides which view to show."""
    page: Page = request.app.state.page
    return page.index.answer(request, SECURITY | {"Cache-Control": "no-cache"})


async def show_unknown_path(request: Request, error: Exception) -> Response:
    """Handle status 404: browsers get the page with this status, and other clients get the API's error."""
    if request.method not in {"GET", "HEAD"} or request.url.path.startswith(API_PATHS):
        return await on_http_error(request, error)
    weights = dict(preferences(request.headers.get("accept", "")))
    if weights.get("text/html", 0) <= weights.get("application/json", 0):
        return await on_http_error(request, error)
    page: Page = request.app.state.page
    headers = SECURITY | {"Cache-Control": "no-cache", "Vary": "Accept, Accept-Encoding"}
    return page.index.send(request, headers, 404)


@router.get("/assets/{name}")
async def get_asset(request: Request, name: str) -> Response:
    """Return a script, style or font of the page. Raises PathNotFound."""
    page: Page = request.app.state.page
    return page.asset(name).answer(request, {"Cache-Control": FOREVER})


for _path in PATHS:
    router.add_api_route(_path, show_page, methods=["GET", "HEAD"])


def _accepts_gzip(accept_encoding: str) -> bool:
    return any(name == "gzip" and weight > 0 for name, weight in preferences(accept_encoding))


@functools.lru_cache(maxsize=256)
def _read(path: Path, modified_ns: int) -> _File:  # noqa: ARG001  # part of the cache key
    """Read a file. Cached, because compression is slow and tests create many applications in one process."""
    media_type = mimetypes.guess_type(path.name)[0]
    return _file(path.read_bytes(), media_type or "application/octet-stream")


def _file(content: bytes, media_type: str) -> _File:
    digest = hashlib.sha256(content).hexdigest()[:32]
    return _File(content, gzip.compress(content, 9, mtime=0), media_type, f'"{digest}"')
