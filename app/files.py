"""StoredFile: a stored file as an answer, ranges included. What it refuses, it refuses in the one error shape."""

from fastapi.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from app.errors import RangeNotSatisfiable


class StoredFile(FileResponse):
    """A FileResponse whose refusals are AppErrors."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, or raise RangeNotSatisfiable."""

        async def send_success(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                raise RangeNotSatisfiable
            await send(message)

        await super().__call__(scope, receive, send_success)
