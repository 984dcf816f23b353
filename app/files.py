"""StoredFile: a stored file as an answer, ranges included. What it refuses, it refuses in the one error shape."""

import os

import anyio.to_thread
from fastapi.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from app.errors import RangeNotSatisfiable
from app.uploads import storage_errors


class StoredFile(FileResponse):
    """A FileResponse whose refusals are AppErrors."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, or raise RangeNotSatisfiable, or StorageUnavailable if it cannot be looked at."""

        async def send_success(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                raise RangeNotSatisfiable
            await send(message)

        with storage_errors():
            self.stat_result = await anyio.to_thread.run_sync(os.stat, self.path)
        self.set_stat_headers(self.stat_result)
        await super().__call__(scope, receive, send_success)
