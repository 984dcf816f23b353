"""Simulates a training process and its supervisor, to measure the delay from a training step to its arrival at a client.

The training program's real recorder writes the records into a file, and the supervisor's real reporter sends them, delayed by
up to STEPLINE_FLUSH_SECONDS.
"""

import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from contracts.attempt import Claim
from contracts.record import MetricRecord, decode_line
from contracts.run.run_dir import RunDir
from worker.supervisor.reporting.reporter import Reporter
from worker.supervisor.server.client import Server
from worker.training.rundir.recorder import Recorder

POLL_SECONDS = 0.1
"""The supervisor's polling interval: the default of STEPLINE_POLL_SECONDS."""
PATIENCE_SECONDS = 60.0


def feed(
    url: str, claim: Claim, folder: Path, steps: Sequence[dict[str, float]], step_seconds: float
) -> None:
    """Record steps at about the given interval, and sync until the server has all of them."""
    run_dir = RunDir(folder)
    training = threading.Thread(target=_train, args=(run_dir, steps, step_seconds))
    training.start()
    with Server(url, "", PATIENCE_SECONDS, PATIENCE_SECONDS) as server:
        reporter = Reporter(claim, server, run_dir)
        while training.is_alive():
            training.join(POLL_SECONDS)
            reporter.pulse()
        reporter.drain()


def read_times(folder: Path) -> dict[int, float]:
    """Return the time at which the training process recorded each step, in seconds since 1970."""
    records = map(decode_line, RunDir(folder).records.read_bytes().splitlines())
    return {each.step: each.at.timestamp() for each in records if isinstance(each, MetricRecord)}


def _train(run_dir: RunDir, steps: Sequence[dict[str, float]], step_seconds: float) -> None:
    rng = random.Random(0)  # noqa: S311  # steps of equal length would all have the same offset from the syncs
    with Recorder(run_dir.records) as recorder:
        for step, values in enumerate(steps, start=1):
            time.sleep(step_seconds * rng.uniform(0.5, 1.5))
            recorder.metric(step, values)
