"""Which requests a browser sends on behalf of a page that does not belong to this server."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from app.config.hosts import Authority, parse_authority

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing; CORS decides whether a foreign page can read the response."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


class TrustedOrigins:
    """Origins whose pages may change things: the server's own, and those of STEPLINE_CORS_ORIGINS."""

    def __init__(self, named: Iterable[str]) -> None:
        self._named = frozenset(named)

    def allow(self, method: str, headers: Headers, host: Authority | None) -> bool:
        """Whether a request for this host is allowed. Programs send neither Origin nor Sec-Fetch-Site."""
        if method in SAFE_METHODS or "*" in self._named:
            return True
        origins = headers.getlist("origin")
        if len(origins) > 1:
            return False
        if origins and origins[0] in self._named:
            return True
        # No page can set Sec-Fetch-Site. It is the browser's own comparison, which holds where a proxy has replaced Host
        # (the development server of web/ does), and spares an extension that has the permission for this site. Browsers
        # leave it out for plain HTTP to another machine: there the origin must equal the requested host.
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site in {"same-origin", "none"}
        return not origins or _is_same(origins[0], host)


def _is_same(origin: str, host: Authority | None) -> bool:
    """Whether an origin is the requested host; the scheme is not compared, since TLS may end at a proxy."""
    try:
        parts = urlsplit(origin)
        default = _DEFAULT_PORTS[parts.scheme]
        asker = parse_authority(parts.netloc)
    except (KeyError, ValueError):
        return False
    if host is None or parts.path or parts.query or parts.fragment:
        return False
    return (asker.host, asker.port or default) == (host.host, host.port or default)
