"""The HTTP client of the hub's libraries. Rejects responses whose headers would lead them to write outside their cache.

They use the headers as names of files without a check, so that a mirror could otherwise write any file of the worker's user.
"""

from typing import Any

_NAMES = ("ETag", "X-Linked-ETag", "X-Repo-Commit")


class UnsafeResponse(Exception):
    """A header of the hub's response is not the name of a file."""


def use_checked_client() -> None:
    """Let the hub's libraries in this process check each response. Raises UnsafeResponse in their calls."""
    from huggingface_hub import set_client_factory  # noqa: PLC0415  # slow import
    from huggingface_hub.utils._http import default_client_factory  # noqa: PLC0415

    def make() -> Any:
        client = default_client_factory()
        hooks = client.event_hooks
        client.event_hooks = hooks | {"response": [*hooks.get("response", []), check_response]}
        return client

    set_client_factory(make)


def check_response(response: Any) -> None:
    """Raise UnsafeResponse if a header that becomes a file name leads outside the directory of the file."""
    for header in _NAMES:
        name = response.headers.get(header, "").lstrip("W/").strip('"')  # as the libraries do
        # A slash alone is safe, and occurs in the ETag of other responses.
        if ".." in name or name.startswith("/"):
            raise UnsafeResponse(f"the hub sent {header}: {name[:200]!r}")
