"""StoredFile: a response that sends a stored file or ranges of it. Errors have the standard error body."""

import os

import anyio.to_thread
from fastapi.responses import FileResponse, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Receive, Scope, Send

from app.errors.disk import storage_errors
from app.http.headers.etags import holds
from app.http.headers.ranges import requested_ranges


class StoredFile(FileResponse):
    """A FileResponse that follows RFC 9110 for Range, If-Range and If-None-Match, and raises AppErrors."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, the requested ranges, or 304.

        Raises RangeNotSatisfiable, or StorageUnavailable if the file cannot be read.
        """
        with storage_errors():
            self.stat_result = await anyio.to_thread.run_sync(os.stat, self.path)
        self.set_stat_headers(self.stat_result)
        request_headers = Headers(scope=scope)
        if holds(request_headers.get("if-none-match"), self.headers["etag"]):
            not_modified = Response(status_code=304, headers={"ETag": self.headers["etag"]})
            await not_modified(scope, receive, send)
            return
        await super().__call__(self._with_clean_range(scope, request_headers), receive, send)

    def _with_clean_range(self, scope: Scope, request_headers: Headers) -> Scope:
        """Return the request's scope with a satisfiable Range, or without one.

        FileResponse treats any Range that it does not support as an error.
        """
        given, condition = request_headers.get("range"), request_headers.get("if-range")
        if given is None or self.stat_result is None:
            return scope
        headers = MutableHeaders(raw=[pair for pair in scope["headers"] if pair[0] != b"range"])
        # Range has no meaning for methods other than GET.
        if scope["method"] == "GET" and condition in {
            None,
            self.headers["etag"],
            self.headers["last-modified"],
        }:
            ranges = requested_ranges(given, self.stat_result.st_size)
            if ranges is not None:
                headers["range"] = "bytes=" + ",".join(f"{start}-{end}" for start, end in ranges)
        return {**scope, "headers": headers.raw}
