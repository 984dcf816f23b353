"""Chaos: several workers run many jobs while a nemesis injects faults. Once all jobs have ended, the checker runs.

    python -m benchmarks.chaos --minutes 10 --seed 1 [--workers 3] [--database sqlite|postgresql] [--build NAME]

Everything is real: the API, Valkey, the Celery workers and the 4-bit training of a tiny Qwen2. Timeouts and intervals are one-twentieth of their production values.
`--build` runs a deliberately broken build instead (benchmarks/faults/broken.py), to test that the checker detects it.
The last line is JSON. The exit status is 1 if a promise was broken, or if a final adapter differs in any bit from that of a
run without faults.
"""

import argparse
import hashlib
import io
import json
import os
import sys
import tempfile
import time
import zipfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.faults.nemesis import Nemesis
from tests.e2e.conftest import place_model, spec_of_job, tiny_rows
from tests.faults.harness.checker import Verdict, check
from tests.faults.harness.cluster import Cluster
from tests.faults.harness.history import History
from tests.programs.postgres import running_postgres
from tests.tiny_model import make_tiny_qwen2

QUIET_SECONDS = 240
"""Time limit for all jobs to end after the last fault."""
BUILDS_OF_THE_WORKER = {"no_spool"}
SEEDS = (11, 12, 13)
"""Training seeds of the jobs. Each is also run once without faults, to get the expected adapter."""


@dataclass
class Result:
    """The result of a chaos run."""

    verdict: Verdict
    jobs: int
    faults: Counter[str] = field(default_factory=Counter)
    adapters_compared: int = 0
    adapters_different: int = 0
    seconds: float = 0.0

    def summary(self) -> dict[str, Any]:
        """Return the figures printed on the last line."""
        return {
            "jobs": self.jobs,
            "faults": dict(sorted(self.faults.items())),
            **self.verdict.counts(),
            "adapters_compared": self.adapters_compared,
            "adapters_different": self.adapters_different,
            "seconds": round(self.seconds, 1),
        }


class Load:
    """Keeps a fixed number of jobs waiting or running.

    Like a careful client, it gives each job an idempotency key and submits the job again until it is acknowledged.
    """

    def __init__(self, cluster: Cluster, dataset: str, steps: int, jobs_at_once: int) -> None:
        self._cluster = cluster
        self._dataset = dataset
        self._steps = steps
        self._jobs_at_once = jobs_at_once
        self.seed_of: dict[str, int] = {}

    def keep_up(self) -> None:
        """Submit jobs until the target number is queued or running, if the server is reachable."""
        try:
            listed = self._cluster.client.get("/v1/jobs", params={"limit": 100}, timeout=5)
            open_jobs = {
                j["id"] for j in listed.json()["data"] if j["status"] in {"queued", "running"}
            }
            for _ in range(self._jobs_at_once - len(open_jobs)):
                self.submit(timeout=5)
        except (httpx2.TransportError, KeyError, ValueError):
            return  # the server is unavailable; try again next time

    def submit(self, timeout: float = 30) -> str | None:
        """Submit one job; return its id if it was acknowledged."""
        number = len(self.seed_of)
        seed = SEEDS[number % len(SEEDS)]
        response = self._cluster.client.post(
            "/v1/jobs",
            json=self.spec(seed),
            headers={"Idempotency-Key": f"chaos-{number}"},
            timeout=timeout,
        )
        if response.status_code != 201:
            return None
        job_id = str(response.json()["id"])
        self.seed_of[job_id] = seed
        self._cluster.acknowledged.append(job_id)
        return job_id

    def spec(self, seed: int) -> dict[str, Any]:
        """Return the spec of a job with a checkpoint every few steps."""
        spec = spec_of_job(self._dataset, self._steps)
        spec["training"] |= {"seed": seed}
        return spec | {
            "checkpoint": {"every_steps": 5},
            "evaluation": {"every_steps": 1_000},
            "engine": {"token_budget": 512},
        }


def main() -> int:
    """Run the chaos test and print the result."""
    options = arguments()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stepline-chaos-")))
        cluster = stack.enter_context(make_cluster(stack, directory, options))
        result = run(cluster, directory, options)
        if not result.verdict.is_clean and options.keep is not None:
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / "service.log").write_text(cluster.logs())
    print(result.verdict)
    print(json.dumps(result.summary()))
    return 0 if result.verdict.is_clean and not result.adapters_different else 1


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=10.0,
        help="how long to inject faults; the whole run takes longer",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60, help="steps of each job")
    parser.add_argument("--pause", type=float, default=2.0, help="mean seconds between faults")
    parser.add_argument(
        "--database", choices=["sqlite", "postgresql", "postgres"], default="sqlite"
    )
    parser.add_argument("--build", help="broken build to run: no_fence, early_ack or no_spool")
    parser.add_argument(
        "--kinds",
        type=lambda text: text.split(","),
        default=[],
        help="kinds of faults (default: all)",
    )
    parser.add_argument("--keep", type=Path, help="directory for the logs of a failed run")
    return parser.parse_args()


def make_cluster(stack: ExitStack, directory: Path, options: argparse.Namespace) -> Cluster:
    """Return the service without starting it."""
    postgres = None
    if options.database.startswith("postgres"):
        postgres = stack.enter_context(running_postgres())
    cluster = Cluster(directory / "service", postgres, OMP_NUM_THREADS="1")
    if options.build in BUILDS_OF_THE_WORKER:
        cluster.worker_program = ("-m", "benchmarks.faults.broken", options.build)
    elif options.build:
        cluster.api_program = ("-m", "benchmarks.faults.broken", options.build)
    return cluster


def run(cluster: Cluster, directory: Path, options: argparse.Namespace) -> Result:
    """Inject faults, wait until all jobs have ended, and run the checker."""
    began = time.monotonic()
    place_model(cluster, make_tiny_qwen2(directory / "tiny-qwen2"))
    dataset = cluster.upload_dataset(tiny_rows(40))
    workers = ["worker", *(f"worker-{number}" for number in range(2, options.workers + 1))]
    for name in workers[1:]:
        cluster.start_worker(name)
    load = Load(cluster, dataset, options.steps, options.workers + 2)
    nemesis = Nemesis(cluster, workers, options.seed, options.kinds)
    deadline = time.monotonic() + 60 * options.minutes
    pause = nemesis.pauses(options.pause)
    while time.monotonic() < deadline:
        load.keep_up()
        kind = nemesis.strike()
        if kind is not None:
            print(f"{time.monotonic() - began:7.1f} s  {kind}", flush=True)
        time.sleep(next(pause))
    nemesis.repair()
    history = cluster.history(QUIET_SECONDS, until_one_fails=bool(options.build))
    result = Result(check(history), jobs=len(history.acknowledged), faults=nemesis.faults)
    if not options.build:
        compare_adapters(cluster, load, history, result)
    result.seconds = time.monotonic() - began
    return result


def compare_adapters(cluster: Cluster, load: Load, history: History, result: Result) -> None:
    """Run each seed once without faults, and compare every final adapter with that of the same seed."""
    succeeded = {job.id for job in history.jobs if job.status == "succeeded"}
    expected: dict[int, str] = {}
    for seed in sorted(set(load.seed_of.values())):
        response = cluster.client.post("/v1/jobs", json=load.spec(seed))
        job_id = response.json()["id"]
        assert cluster.wait_for_end(job_id, 120)["status"] == "succeeded", cluster.logs()
        expected[seed] = adapter_sha256(cluster, job_id)
    for job_id, seed in load.seed_of.items():
        if job_id in succeeded:
            result.adapters_compared += 1
            if adapter_sha256(cluster, job_id) != expected[seed]:
                result.adapters_different += 1
                print(f"the adapter of {job_id} differs from that of a run without faults")


def adapter_sha256(cluster: Cluster, job_id: str) -> str:
    """Return the hash of a job's adapter weights, ignoring the other files, because they contain the path of the run directory."""
    response = cluster.client.get(f"/v1/jobs/{job_id}/artifacts/adapter.zip")
    assert response.status_code == 200, response.text
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        return hashlib.sha256(archive.read("adapter_model.safetensors")).hexdigest()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
