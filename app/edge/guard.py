"""The guard in front of all routes. It rejects requests that a web page from another origin causes a browser to send.

It checks Host (hosts.py), then Origin and Sec-Fetch-Site (origins.py). Requests from other clients are allowed, because
an attacker who can run a program does not need a browser.
"""

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.config.hosts import AllowedHosts, Authority, MalformedHost, parse_authority
from app.edge.origins import TrustedOrigins
from app.errors.base import AppError, error_response
from app.errors.kinds import HostNotAllowed, InvalidHost, OriginNotAllowed
from app.http.negotiation.language import choose_language

log = structlog.get_logger(__name__)

SHOWN = 200
"""Maximum number of header characters quoted in an error."""
INTERNAL = "/internal/"
"""Worker routes. They accept any host, because each request carries a token that web pages do not have. A server
upgrade must not interrupt workers that use a host name missing from STEPLINE_ALLOWED_HOSTS."""


class Guard:
    """ASGI middleware. It runs inside the CORS middleware so that pages from configured origins can read its errors."""

    def __init__(self, app: ASGIApp, hosts: AllowedHosts, origins: TrustedOrigins) -> None:
        self._app = app
        self._hosts = hosts
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, or respond with 400, 421 or 403."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._check(scope, headers)
        except AppError as error:
            log.warning("request rejected", code=error.code, **error.figures)
            language = choose_language(headers.get("accept-language"))
            await error_response(error, language)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        host = _read_host(scope, headers)
        is_internal = scope["path"].startswith(INTERNAL)
        if host is not None and host.host not in self._hosts and not is_internal:
            raise HostNotAllowed("Host", host=host.host)
        if not self._origins.allow(scope["method"], headers, host):
            raise OriginNotAllowed(
                "Origin",
                method=scope["method"][:SHOWN],
                origin=", ".join(headers.getlist("origin"))[:SHOWN] or "-",
                site=headers.get("sec-fetch-site", "-")[:SHOWN],
            )


def _read_host(scope: Scope, headers: Headers) -> Authority | None:
    """Return the host, or None for an HTTP/1.0 request without one. Health checks use HTTP/1.0; browsers do not."""
    given = headers.getlist("host")
    if not given and scope["http_version"] == "1.0":
        return None
    if len(given) != 1:
        raise InvalidHost("Host", host=", ".join(given)[:SHOWN])
    try:
        return parse_authority(given[0])
    except MalformedHost:
        raise InvalidHost("Host", host=given[0][:SHOWN]) from None
