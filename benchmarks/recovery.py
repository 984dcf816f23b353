"""Recovery: how soon a killed worker's job runs again, and how soon jobs start after the broker has lost their messages.

    python -m benchmarks.recovery [--workers 3] [--scale 1] [--database sqlite]

The API, Valkey, the Celery workers and the training of a tiny Qwen2 are real; production times are divided by --scale. The first
figure is the time from the takeover of a killed worker's attempt to the start of the next attempt on another worker. The second
is the time from the restart of a broker that lost its data to the start of each job that was submitted while the broker
was down; there are as many of these jobs as idle workers. All times are taken from the server's clock. The benchmark
only prints figures; the last line is JSON with the targets.
"""

import argparse
import json
import os
import signal
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.config.settings import Settings as ServerSettings
from tests.e2e.conftest import place_model, spec_of_job, tiny_rows
from tests.faults.harness.cluster import TWENTIETH, Cluster
from tests.programs.postgres import running_postgres
from tests.programs.processes import children_of
from tests.tiny_model import make_tiny_qwen2
from worker.settings import Settings as WorkerSettings

RESTART_TARGET_SECONDS = 15.0
START_TARGET_SECONDS = 45.0
STEPS = 1_000_000
"""More steps than any job reaches, so each job runs until it is cancelled."""


def main() -> None:
    """Measure both figures and print them."""
    options = arguments()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = None
        if options.database == "postgresql":
            postgres = stack.enter_context(running_postgres())
        model = make_tiny_qwen2(directory / "tiny-qwen2")
        (directory / "service").mkdir()
        times = production_times(options.scale)
        cluster = stack.enter_context(Cluster(directory / "service", postgres, **times))
        place_model(cluster, model)
        cluster.stop("worker")
        dataset = cluster.upload_dataset(tiny_rows(40))
        takeover = float(times["STEPLINE_TAKEOVER_SECONDS"])
        restarts = measure_restarts(cluster, dataset, options.workers, takeover)
        starts = measure_starts(cluster, dataset, options.workers)
    for name, found, target in (
        ("runs again after the takeover", restarts, RESTART_TARGET_SECONDS),
        ("starts after the broker's return", starts, START_TARGET_SECONDS),
    ):
        shown = ", ".join(f"{options.scale * seconds:.1f}" for seconds in sorted(found))
        print(f"{name}: {shown} s (target: {target:.0f} s)")
    result = {
        "database": options.database,
        "scale": options.scale,
        "cores": os.cpu_count(),
        "restart_seconds": [round(options.scale * seconds, 2) for seconds in restarts],
        "restart_target_seconds": RESTART_TARGET_SECONDS,
        "start_seconds": [round(options.scale * seconds, 2) for seconds in starts],
        "start_target_seconds": START_TARGET_SECONDS,
    }
    print(json.dumps(result))


def production_times(scale: float) -> dict[str, str]:
    """Return the production value, divided by `scale`, of every time setting that the fault tests shorten."""
    fields = WorkerSettings.model_fields | ServerSettings.model_fields
    defaults = {name: fields[name.removeprefix("STEPLINE_").lower()].default for name in TWENTIETH}
    return {name: str(default / scale) for name, default in defaults.items()}


def measure_restarts(cluster: Cluster, dataset: str, count: int, takeover: float) -> list[float]:
    """Kill workers during their jobs and return the seconds from each takeover to the start of the next attempt."""
    victims = [f"victim-{n}" for n in range(count)]
    for name in victims:
        cluster.start_worker(name)
    jobs = [cluster.post_job(**spec_of_job(dataset, STEPS)) for _ in victims]
    for job_id in jobs:
        cluster.wait_for_step(job_id, 3)
    for name in victims:
        pool = children_of(cluster.parts[name].pid)
        for pid in (cluster.parts[name].pid, *pool):
            os.kill(pid, signal.SIGKILL)
        cluster.parts[name].stop(lambda: True)
    for n in range(count):
        cluster.start_worker(f"spare-{n}")
    for job_id in jobs:
        cluster.wait_for_job(job_id, lambda job: job["attempt"] == 2, seconds=takeover + 120)
    found = []
    for job_id in jobs:
        first, second = cluster.attempts(job_id)
        since = _moment(second["started_at"]) - _moment(first["synced_at"])
        found.append(since.total_seconds() - takeover)
        cluster.cancel(job_id, 120)
    return found


def measure_starts(cluster: Cluster, dataset: str, count: int) -> list[float]:
    """Submit jobs while the broker is down; return the seconds from the broker's return, with an empty queue, to each start."""
    cluster.stop("broker", signal.SIGKILL)
    jobs = [cluster.post_job(**spec_of_job(dataset, STEPS)) for _ in range(count)]
    returned = datetime.now(UTC)
    cluster.start_broker()
    for job_id in jobs:
        cluster.wait_for_job(job_id, lambda job: job["attempt"] == 1, seconds=180)
    starts = [_moment(cluster.attempts(job_id)[0]["started_at"]) for job_id in jobs]
    for job_id in jobs:
        cluster.cancel(job_id, 120)
    return [(start - returned).total_seconds() for start in starts]


def _moment(text: Any) -> datetime:
    return datetime.fromisoformat(text)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="divisor of the production times")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    return parser.parse_args()


if __name__ == "__main__":
    main()
