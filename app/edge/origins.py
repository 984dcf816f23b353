"""Detects cross-origin requests from browsers."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from app.config.hosts import Authority, parse_authority

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods without side effects. CORS determines whether a page from another origin can read the response."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


class TrustedOrigins:
    """Origins whose pages may modify data on this server: its own, and those in STEPLINE_CORS_ORIGINS."""

    def __init__(self, named: Iterable[str]) -> None:
        self._named = frozenset(named)

    def allow(self, method: str, headers: Headers, host: Authority | None) -> bool:
        """Return whether a request for this host is allowed.

        Clients other than browsers send neither Origin nor Sec-Fetch-Site and are allowed.
        """
        if method in SAFE_METHODS or "*" in self._named:
            return True
        origins = headers.getlist("origin")
        if len(origins) > 1:
            return False
        if origins and origins[0] in self._named:
            return True
        # Pages cannot set Sec-Fetch-Site. The browser compares the origins, so the result is correct even if a proxy
        # has replaced Host (as the development server of web/ does), and browser extensions with permission for this
        # site are allowed. Browsers omit the header for plain HTTP to another machine; then the origin must match the
        # host.
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site in {"same-origin", "none"}
        return not origins or _is_same(origins[0], host)


def _is_same(origin: str, host: Authority | None) -> bool:
    """Return whether an origin is the requested host. The scheme is not compared, because a proxy may terminate TLS."""
    try:
        parts = urlsplit(origin)
        default = _DEFAULT_PORTS[parts.scheme]
        authority = parse_authority(parts.netloc)
    except (KeyError, ValueError):
        return False
    if host is None or parts.path or parts.query or parts.fragment:
        return False
    return (authority.host, authority.port or default) == (host.host, host.port or default)
