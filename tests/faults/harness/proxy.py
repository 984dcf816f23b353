"""FaultProxy: a TCP proxy that misbehaves on demand. Used in front of the API, PostgreSQL and Valkey.

    pass        forwards everything
    refuse      does not listen, and resets open connections
    reset       accepts connections and resets them immediately
    blackhole   accepts bytes and holds them; forwards them once another mode is set
    delay:S     delays each chunk by S seconds
    cut:N       resets a connection after N bytes of its responses

`drop_replies(pattern, times)` resets a connection instead of forwarding the response to a request that contains the pattern:
the server has done the work, but the caller does not know. `catch(pattern)` holds the next request that contains the
pattern, or its response, in flight, so that a test can act at that moment.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.programs.ports import find_free_port

Target = tuple[str, int] | Path
"""Host and port, or a unix socket."""
MODES = ("pass", "refuse", "reset", "blackhole", "delay", "cut")
CHUNK_BYTES = 64 * 1024


@dataclass(eq=False)
class _Link:
    """One connection through the proxy."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    response_bytes: int = 0
    drops_response: bool = False
    """Drop the next response."""
    caught: "Caught | None" = None
    """The catch that holds the next request or response."""

    def reset(self) -> None:
        for writer in (self.client, self.server):
            if writer is None:
                continue
            raw = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):  # already closed
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


@dataclass
class _Drop:
    pattern: bytes
    times: int


class Caught:
    """A request or response that is held in flight from `wait` until `release`."""

    def __init__(self, pattern: bytes, *, is_answer: bool, loop: asyncio.AbstractEventLoop) -> None:
        self.pattern = pattern
        self.is_answer = is_answer
        self.is_taken = False
        self.arrived = threading.Event()
        self.released = asyncio.Event()
        self._loop = loop

    def wait(self, seconds: float = 60) -> None:
        """Wait until the request or response is in flight."""
        assert self.arrived.wait(seconds), f"no request with {self.pattern!r} arrived"

    def release(self) -> None:
        """Forward it."""
        self._loop.call_soon_threadsafe(self.released.set)


@dataclass
class FaultProxy:
    """Listens on a port of this machine and forwards to a target, in its own thread."""

    target: Target
    port: int = field(default_factory=find_free_port)
    mode: str = "pass"
    dropped_replies: int = 0
    """Number of responses that drop_replies has dropped."""

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="proxy")
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._drops: list[_Drop] = []
        self._catches: list[Caught] = []
        self._listener: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._thread.start()
        self._run(self._listen())
        self._flowing.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def set(self, mode: str) -> None:
        """Switch to this mode."""
        assert mode.partition(":")[0] in MODES, mode
        self._run(self._change(mode))

    def drop_replies(self, pattern: bytes, times: int = 1) -> None:
        """Reset the next `times` connections that are about to carry the response to a request with these bytes."""
        self._drops.append(_Drop(pattern, times))

    def catch(self, pattern: bytes, *, is_answer: bool = True) -> Caught:
        """Hold the next request that contains these bytes, or its response, until it is released."""
        caught = Caught(pattern, is_answer=is_answer, loop=self._loop)
        self._catches.append(caught)
        return caught

    def forget(self) -> None:
        """Release everything that is held, and stop dropping and catching."""
        for caught in self._catches:
            caught.release()
        self._catches, self._drops = [], []

    def close(self) -> None:
        """Reset all connections and stop listening."""
        if self._loop.is_closed():
            return
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=10)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _change(self, mode: str) -> None:
        self.mode = mode
        if mode == "refuse":
            if self._listener is not None:
                self._listener.close()
                self._listener = None
        else:
            await self._listen()
        if mode in {"refuse", "reset"}:
            self._reset_all()
        if mode == "blackhole":
            self._flowing.clear()
        else:
            self._flowing.set()

    async def _end(self) -> None:
        await self._change("refuse")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _reset_all(self) -> None:
        for link in self._links:
            link.reset()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._links.add(link)
        try:
            if self.mode == "reset":
                return
            if isinstance(self.target, Path):
                answers, link.server = await asyncio.open_unix_connection(self.target)
            else:
                answers, link.server = await asyncio.open_connection(*self.target)
            await asyncio.gather(
                self._forward(reader, link.server, link, is_answer=False),
                self._forward(answers, writer, link, is_answer=True),
            )
        except (OSError, asyncio.CancelledError):
            pass  # the target is unreachable, or this proxy is stopping
        finally:
            link.reset()
            self._links.discard(link)
            self._tasks.discard(task)

    async def _forward(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        link: _Link,
        *,
        is_answer: bool,
    ) -> None:
        while chunk := await source.read(CHUNK_BYTES):
            if self.mode.startswith("delay:"):
                await asyncio.sleep(float(self.mode.partition(":")[2]))
            await self._flowing.wait()
            if not is_answer:
                self._match(link, chunk)
                if link.caught is not None and not link.caught.is_answer:
                    await self._hold(link)
            elif link.caught is not None:
                await self._hold(link)
            elif link.drops_response:
                self.dropped_replies += 1
                link.reset()
                return
            elif self.mode.startswith("cut:"):
                remaining = int(self.mode.partition(":")[2]) - link.response_bytes
                link.response_bytes += len(chunk)
                if len(chunk) > remaining:
                    target.write(chunk[: max(0, remaining)])
                    await target.drain()
                    link.reset()
                    return
            target.write(chunk)
            await target.drain()
        await self._flowing.wait()
        with contextlib.suppress(OSError):
            target.write_eof()

    def _match(self, link: _Link, chunk: bytes) -> None:
        for drop in self._drops:
            if drop.times > 0 and drop.pattern in chunk:
                drop.times -= 1
                link.drops_response = True
                return
        for caught in self._catches:
            if not caught.is_taken and caught.pattern in chunk:
                caught.is_taken = True
                link.caught = caught
                return

    async def _hold(self, link: _Link) -> None:
        caught, link.caught = link.caught, None
        if caught is not None:
            caught.arrived.set()
            await caught.released.wait()
