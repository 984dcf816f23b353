"""Opens many streams of one job, and measures when each client gets each step."""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import statistics
import time
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it ships no types

from benchmarks.filling.feed import feed, read_times
from benchmarks.filling.points import values_at
from benchmarks.history.server import Server


async def measure_streams(
    server: Server, folder: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Open many streams of a job that runs two steps per second; measure which steps each client gets, and when.

    The clock starts when the training process records a step, and stops when a client has read it.
    """
    claim = server.claim()
    received: list[dict[int, float]] = [{} for _ in range(options.streams)]
    ready = asyncio.Semaphore(0)
    last = int(options.stream_seconds * 2)

    async def listen(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**20)
        request = f"GET /v1/jobs/{claim.job_id}/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        writer.write(request.encode())
        await reader.readuntil(b"event: status")
        ready.release()
        with contextlib.suppress(asyncio.IncompleteReadError):
            while len(received[number]) < last:
                line = await reader.readline()
                if line.startswith(b'data: {"attempt"'):
                    now = time.time()
                    for step in json.loads(line[6:])["series"]["loss"]["step"]:
                        received[number].setdefault(step, now)
        writer.close()

    listeners = [asyncio.create_task(listen(number)) for number in range(options.streams)]
    for _ in range(options.streams):
        async with asyncio.timeout(120):
            await ready.acquire()
    process = psutil.Process(server.process.pid)
    memory, cpu = process.memory_info().rss, process.cpu_times()
    began = time.perf_counter()
    run = folder / "run"
    run.mkdir()
    steps = [values_at(step) for step in range(1, last + 1)]
    feeder = multiprocessing.get_context("spawn").Process(
        target=feed, args=(server.url, claim, run, steps, 0.5)
    )
    feeder.start()
    await asyncio.to_thread(feeder.join)
    assert feeder.exitcode == 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(30):
            await asyncio.gather(*listeners)
    for listener in listeners:
        listener.cancel()
    after = process.cpu_times()
    used = after.user + after.system - cpu.user - cpu.system
    recorded_at = read_times(run)
    delays = [at - recorded_at[step] for each in received for step, at in each.items()]
    found = {
        "streams": options.streams,
        "steps": last,
        "missed": sum(last - len(each) for each in received),
        "p50_step_to_client_seconds": round(statistics.median(delays), 3),
        "p99_step_to_client_seconds": round(sorted(delays)[int(len(delays) * 0.99)], 3),
        "rss_mb_when_open": round(memory / 2**20),
        "rss_mb_at_end": round(process.memory_info().rss / 2**20),
        "cpu_share": round(used / (time.perf_counter() - began), 2),
    }
    print(f"stepline: streams: {found}")
    return found
