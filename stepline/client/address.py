"""Addresses of services. Imports no HTTP library, because the terminal client reads its settings with it."""

import ipaddress
from urllib.parse import urlsplit

from stepline.client.errors import SteplineError


def checked_address(base_url: str) -> str:
    """Return the address without a trailing slash. Adds `http://` if the scheme is missing. Raises SteplineError."""
    address = base_url.strip().rstrip("/")
    if "://" not in address:
        address = f"http://{address}"
    if not address.startswith(("http://", "https://")) or address.endswith("://"):
        raise SteplineError(
            f"{base_url!r} is not a valid server address. Use, for example, http://127.0.0.1:8000"
        )
    return address


def is_local(base_url: str) -> bool:
    """Return whether an address is one of this machine's own."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
