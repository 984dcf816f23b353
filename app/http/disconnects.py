"""Detects that a request's client has disconnected."""

from fastapi import Request


async def wait_for_disconnect(request: Request) -> None:
    """Wait until the client has disconnected. The request's body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
