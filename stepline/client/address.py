"""Addresses of services. Imports no HTTP library, because the terminal client reads its settings with it."""

import ipaddress
import re
from urllib.parse import urlsplit

from stepline.client.errors import SteplineError


def checked_address(base_url: str) -> str:
    """Return the address without a trailing slash. Adds `http://` if the scheme is missing. Raises SteplineError."""
    address = base_url.strip()
    address = (address if "://" in address else f"http://{address}").rstrip("/")
    if not _is_valid(address):
        raise SteplineError(
            f"{base_url!r} is not a valid server address. Use, for example, http://127.0.0.1:8000"
        )
    return address


def _is_valid(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # for example, a port that is not a number
        return False


def shown_address(address: str) -> str:
    """Return an address without the password that it may contain, for messages."""
    return re.sub(r"^([^/]*//)?([^/:@]*):[^/]*@", r"\1\2:***@", address)


def is_local(base_url: str) -> bool:
    """Return whether an address is one of this machine's own."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
