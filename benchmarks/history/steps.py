"""Sends the records of training steps to a server: as fast as possible, or to fill a job that is then read."""

import json
import time

from sqlalchemy import func, select

from app.db.engine import Database
from app.db.tables import Record
from benchmarks.filling.points import SERIES, values_at
from benchmarks.history.server import Server
from contracts.attempt import Claim

SPIKE = 99.0


def steps_body(first: int, count: int) -> bytes:
    """Return the body of a sync with `count` training steps."""
    records = [
        {
            "type": "metric",
            "seq": step,
            "step": step,
            "at": f"2026-01-01T00:00:00.{step % 10**6:06d}Z",
        }
        | {"values": values_at(step)}
        for step in range(first, first + count)
    ]
    return json.dumps({"records": records}).encode()


def write_ours(server: Server, points: int, size: int) -> dict[str, float]:
    """Write points in requests of about `size` points; return the rates."""
    claim = server.claim()
    steps = max(1, size // len(SERIES))
    bodies = [steps_body(first, steps) for first in range(1, points // len(SERIES), steps)]
    began = time.perf_counter()
    for body in bodies:
        server.sync(claim, body)
    seconds = time.perf_counter() - began
    written = len(bodies) * steps
    figures = {
        "points_per_second": round(written * len(SERIES) / seconds),
        "records_per_second": round(written / seconds),
        "requests_per_second": round(len(bodies) / seconds, 1),
    }
    print(f"stepline: {steps * len(SERIES)} points per request: {figures}")
    return figures


def count_lost(server: Server, url: str) -> int:
    """Write records, kill the server, and return the number of acknowledged records that are missing."""
    claim = server.claim()
    acked = 0
    for first in range(1, 3000, 30):
        server.sync(claim, steps_body(first, 30))
        acked = first + 29
    server.kill()
    database = Database(url)
    with database.reading() as session:
        query = select(func.count()).where(Record.attempt_id == claim.attempt_id)
        stored = session.scalar(query) or 0
    database.close()
    server.start()
    page = server.client.get(f"/v1/jobs/{claim.job_id}/loss").raise_for_status().json()
    assert len(page["data"]) == stored
    return acked - stored


def fill_ours(server: Server, steps: int, spike: int | None = None) -> Claim:
    """Create a job with `steps` steps, with a spike in the loss at step `spike` if given; return its claim."""
    claim = server.claim()
    for first in range(1, steps + 1, 1000):
        body = steps_body(first, min(1000, steps + 1 - first))
        if spike is not None and first <= spike < first + 1000:
            request = json.loads(body)
            request["records"][spike - first]["values"]["loss"] = SPIKE
            body = json.dumps(request).encode()
        server.sync(claim, body)
    return claim
