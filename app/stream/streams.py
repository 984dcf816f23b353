"""Streams: one database read serves many listeners. Listeners hold no sessions, and slow ones do not delay others.

A feed reads a job's history and keeps track of its place. A new listener first gets the frames between its own place
and the feed's place from the database, and then all frames that the feed reads. No frame is missed or sent twice. All
of this runs in one event loop; only database reads run in threads.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from typing import TypeVar

import structlog
from anyio import CapacityLimiter, to_thread
from fastapi.sse import EventSourceResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect
from starlette.types import Message, Send

from app.db.engine import Database
from app.errors.kinds import JobNotFound
from app.jobs import store as jobs
from app.series.line import Place
from app.stream import frames
from app.stream.frames import Frame, Update
from contracts.failure import Language

log = structlog.get_logger(__name__)

READ_SECONDS = 0.3
"""Time between reads. Frames are sent a few times per second."""
REFRESH_SECONDS = 5.0
"""Time after which a job is read again even without changes, because its worker may have become unreachable."""
PING_SECONDS = 15.0
"""Idle time after which a comment is sent to keep proxies from closing the stream."""
SEND_SECONDS = 30.0
"""How long a client has to receive a chunk before the server closes the connection."""
READ_THREADS = 2
"""Maximum number of concurrent reads. It leaves threads for other requests even if a thousand streams open at the same
time."""
MOST_WAITING = 50
"""Maximum number of reads whose frames may be queued for a slow listener."""
T = TypeVar("T")
START = b"retry: 1000\n\n"
PING = b": ping\n\n"


class StreamResponse(EventSourceResponse):
    """A stream that is closed if its client receives nothing for too long."""

    def __init__(
        self, content: AsyncGenerator[bytes, None], send_seconds: float, headers: Mapping[str, str]
    ) -> None:
        super().__init__(content, headers=headers)
        self._content = content
        self._send_seconds = send_seconds

    async def stream_response(self, send: Send) -> None:
        """Send the stream."""

        async def send_in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(self._send_seconds):
                    await send(message)
            except TimeoutError:
                raise ClientDisconnect from None

        # Close the content here. Otherwise, the feed would push frames to the listener until it is garbage-collected.
        async with contextlib.aclosing(self._content):
            await super().stream_response(send_in_time)


class _Listener:
    """The frames waiting for one client."""

    def __init__(self, most_waiting: int) -> None:
        self.waiting: deque[Sequence[Frame]] = deque()
        self.news = asyncio.Event()
        self.is_dropped = False
        self._most_waiting = most_waiting

    def push(self, new: Sequence[Frame]) -> None:
        if len(self.waiting) == self._most_waiting:
            self.is_dropped = True
            self.waiting.clear()
        if not self.is_dropped:
            self.waiting.append(new)
        self.news.set()


class _Feed:
    """A job with listeners, and the place reached so far."""

    def __init__(self, job_id: str, place: Place) -> None:
        self.job_id = job_id
        self.place = place
        self.listeners: set[_Listener] = set()
        self.found: Update | None = None
        self.read_at = 0.0
        self.lock = asyncio.Lock()
        self.has_ended = False


class Streams:
    """All streams of this process."""

    def __init__(
        self,
        database: Database,
        *,
        send_seconds: float = SEND_SECONDS,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self.send_seconds = send_seconds
        self._most_waiting = most_waiting
        self._database = database
        self._limiter = CapacityLimiter(READ_THREADS)
        self._feeds: dict[str, _Feed] = {}
        self._watching: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_stopped = False

    @property
    def listeners(self) -> int:
        """Number of open streams."""
        return sum(len(feed.listeners) for feed in self._feeds.values())

    def stop(self) -> None:
        """End every stream; safe to call from a signal handler or another thread."""
        self._is_stopped = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake_all)

    async def find_end(self, job_id: str) -> tuple[Place, bool]:
        """Return the position just past the last stored data, and whether the job has ended. Raises JobNotFound."""
        return await self._run(self._find_end, job_id)

    async def close(self) -> None:
        """End every stream and stop watching their jobs."""
        self._is_stopped = True
        self._wake_all()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    async def listen(
        self, job_id: str, place: Place | None, end: Place, language: Language
    ) -> AsyncGenerator[bytes, None]:
        """Yield a job's stream from `place`; None skips the history. `end`: the current result of find_end()."""
        yield START
        feed, listener = await self._join(job_id, place or end, end)
        try:
            replay_end = feed.place if place is not None else None
            if feed.found is not None:
                yield frames.status_frame(feed.found).encode(language)
            if place is not None and replay_end is not None:
                async for found in self._replay(job_id, place, replay_end):
                    yield b"".join(frame.encode(language) for frame in found.frames)
            while not self._is_stopped:
                if listener.is_dropped:
                    yield frames.dropped_frame().encode(language)
                    return
                if listener.waiting:
                    chunk = b"".join(
                        frame.encode(language) for new in listener.waiting for frame in new
                    )
                    listener.waiting.clear()
                    yield chunk
                elif feed.has_ended:
                    return
                else:
                    listener.news.clear()
                    try:
                        async with asyncio.timeout(PING_SECONDS):
                            await listener.news.wait()
                    except TimeoutError:
                        yield PING
        finally:
            self._leave(feed, listener)

    async def _join(self, job_id: str, place: Place, end: Place) -> tuple[_Feed, _Listener]:
        """Add a listener to the job's feed, and advance the feed if it has not reached the listener's place."""
        self._loop = asyncio.get_running_loop()
        feed = self._feeds.get(job_id)
        if feed is None or feed.has_ended:
            feed = self._feeds[job_id] = _Feed(job_id, end)
        listener = _Listener(self._most_waiting)
        feed.listeners.add(listener)
        try:
            await self._advance(feed, unless_it_covers=place)
        except BaseException:
            self._leave(feed, listener)
            raise
        listener.waiting.clear()  # before the feed's place; _replay() reads these frames from the database
        if feed.has_ended and feed.found is not None:
            listener.push([frames.done_frame(feed.found)])
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())
        return feed, listener

    def _leave(self, feed: _Feed, listener: _Listener) -> None:
        feed.listeners.discard(listener)
        if not feed.listeners and self._feeds.get(feed.job_id) is feed:
            del self._feeds[feed.job_id]

    async def _replay(self, job_id: str, place: Place, until: Place) -> AsyncIterator[Update]:
        """Yield the frames between two places, one read at a time."""
        while not self._is_stopped and not place.covers(until):
            found = await self._run(self._read_update, job_id, place, until)
            yield found
            place = found.place
            if not found.has_more:
                return

    async def _watch(self) -> None:
        """Periodically read changed jobs while there are feeds."""
        while self._feeds and not self._is_stopped:
            began = time.monotonic()
            try:
                for feed in await self._find_changed():
                    await self._advance(feed)
            except SQLAlchemyError as error:
                log.warning("streams are waiting for the database", error=str(error))
            except Exception:
                # The outermost handler: one failed read must not end all streams.
                log.exception("failed to read a job for its streams")
            await asyncio.sleep(max(0.0, READ_SECONDS - (time.monotonic() - began)))

    async def _find_changed(self) -> list[_Feed]:
        feeds = [feed for feed in self._feeds.values() if not feed.has_ended]
        versions = await self._run(self._versions, [feed.job_id for feed in feeds])
        stale = time.monotonic() - REFRESH_SECONDS
        return [
            feed
            for feed in feeds
            if feed.found is None
            or versions.get(feed.job_id) != feed.found.job.version
            or feed.read_at < stale
        ]

    async def _advance(self, feed: _Feed, unless_it_covers: Place | None = None) -> None:
        """Read a job's new frames and push them to all of its listeners."""
        async with feed.lock:
            # If a thousand listeners join at the same time, a single read serves all of them.
            if unless_it_covers and feed.found and feed.place.covers(unless_it_covers):
                return
            while not feed.has_ended:
                feed.read_at = time.monotonic()
                before = feed.found
                try:
                    found = await self._run(self._read_update, feed.job_id, feed.place)
                except JobNotFound:  # the job was deleted
                    feed.has_ended = True
                    self._push(feed, [])
                    return
                new = found.frames
                if before is not None and before.job.phase != found.job.phase:
                    new.append(frames.phase_frame(found))
                if before is not None and before.views != found.views:
                    new.append(frames.status_frame(found))
                feed.place, feed.found = found.place, found
                if found.job.status.is_final and not found.has_more:
                    feed.has_ended = True
                    new.append(frames.done_frame(found))
                self._push(feed, new)
                if not found.has_more:
                    return

    def _push(self, feed: _Feed, new: Sequence[Frame]) -> None:
        if new or feed.has_ended:
            for listener in feed.listeners:
                listener.push(new)

    def _wake_all(self) -> None:
        for feed in self._feeds.values():
            for listener in feed.listeners:
                listener.news.set()

    async def _run(self, read: Callable[..., T], *arguments: object) -> T:
        return await to_thread.run_sync(read, *arguments, limiter=self._limiter)

    def _find_end(self, job_id: str) -> tuple[Place, bool]:
        with self._database.reading() as session:
            return frames.find_end(session, job_id)

    def _read_update(self, job_id: str, place: Place, until: Place | None = None) -> Update:
        with self._database.reading() as session:
            return frames.read_update(session, job_id, place, until)

    def _versions(self, job_ids: Sequence[str]) -> dict[str, int]:
        with self._database.reading() as session:
            return jobs.list_versions(session, job_ids)
