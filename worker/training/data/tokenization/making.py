"""Tokenizes batches of rows in order: in this process, or in helpers if there is enough work."""

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait

from worker.training.data.bounds import POLL_SECONDS, Bounds
from worker.training.data.rows import Row
from worker.training.data.tokenization.helpers import Helpers, MadeRow

AHEAD = 2
"""Number of batches sent to each helper before the first result is used."""

Batch = Sequence[Row]
Make = Callable[[Batch], list[MadeRow]]


def make_in_order(
    batches: Iterable[Batch], rows: int, make: Make, helpers: Helpers | None, bounds: Bounds
) -> Iterator[tuple[Batch, list[MadeRow]]]:
    """Yield each batch with its tokens. `rows`: the number of rows in all batches.

    If a batch fails, its error is raised in its place, whichever process found it.
    """
    remaining = iter(batches)
    begun, done = time.monotonic(), 0
    for batch in remaining:
        if helpers is not None and _are_worth_it(helpers, time.monotonic() - begun, done, rows):
            yield from _make_by(helpers, itertools.chain([batch], remaining), bounds)
            return
        yield batch, make(batch)
        done += len(batch)


def _are_worth_it(helpers: Helpers, elapsed_seconds: float, done: int, rows: int) -> bool:
    if helpers.are_running:
        return True
    return done > 0 and elapsed_seconds / done * (rows - done) >= helpers.worth_seconds


def _make_by(
    helpers: Helpers, batches: Iterator[Batch], bounds: Bounds
) -> Iterator[tuple[Batch, list[MadeRow]]]:
    pending: deque[tuple[Batch, Future[list[MadeRow]]]] = deque()
    most = AHEAD * helpers.count
    for batch in batches:
        pending.append((batch, helpers.submit(batch)))
        if len(pending) >= most:
            yield _wait_for_first(pending, bounds)
    while pending:
        yield _wait_for_first(pending, bounds)


def _wait_for_first(
    pending: deque[tuple[Batch, Future[list[MadeRow]]]], bounds: Bounds
) -> tuple[Batch, list[MadeRow]]:
    batch, made = pending.popleft()
    while not made.done():
        wait([made], timeout=POLL_SECONDS)
        bounds.poll()
    return batch, made.result()
