"""An MLflow tracking server on SQLite, with which Stepline's loss history is compared."""

import argparse
import os
import signal
import subprocess
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.filling.points import PLOT_POINTS, SERIES, timed, values_at, wait_for
from tests.programs.ports import find_free_port

PEER_ENVIRONMENT = Path.home() / ".cache" / "stepline" / "benchmark-mlflow"
MLFLOW = "mlflow==3.17.2"


def measure_peer(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure an MLflow tracking server that uses SQLite and one worker process."""
    folder = folder / "mlflow"
    folder.mkdir()
    port = find_free_port()
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(peer_python(), "-m", "mlflow", "server", "--host", "127.0.0.1"),
                *("--port", str(port), "--workers", "1"),
                *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
                *("--artifacts-destination", str(folder / "artifacts")),
            ],
            stdout=output,
            stderr=output,
            cwd=folder,
            start_new_session=True,
        )
    client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=300, trust_env=False)
    try:
        wait_for(lambda: client.get("/health").status_code == 200, log)
        peer = Peer(client)
        return {
            "version": MLFLOW,
            "write": {
                str(size): peer.write(
                    min(options.points, 20_000 if size == 50 else options.points), size
                )
                for size in (50, 1000)
            },
            "read": peer.read(options.read_points),
        }
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        client.close()


class Peer:
    """An MLflow tracking server, used over its REST API."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client
        created = self._post("experiments/create", {"name": "benchmark"})
        self._experiment = created["experiment_id"]

    def write(self, points: int, size: int) -> dict[str, float]:
        """Write points in requests of `size` points; return the rates."""
        run = self._run()
        bodies = [
            {"run_id": run, "metrics": metrics}
            for metrics in batches(range(1, points // len(SERIES) + 1), size, SERIES)
        ]
        began = time.perf_counter()
        for body in bodies:
            self._post("runs/log-batch", body)
        seconds = time.perf_counter() - began
        written = sum(len(body["metrics"]) for body in bodies)
        figures = {
            "points_per_second": round(written / seconds),
            "requests_per_second": round(len(bodies) / seconds, 1),
        }
        print(f"mlflow: {size} points per request: {figures}")
        return figures

    def read(self, steps: int) -> dict[str, float]:
        """Read a curve for a plot repeatedly; return the times and the size of the response."""
        run = self._run()
        for metrics in batches(range(1, steps + 1), 1000, ("loss",)):
            self._post("runs/log-batch", {"run_id": run, "metrics": metrics})
        path = "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"
        query: dict[str, str | int] = {
            "run_ids": run,
            "metric_key": "loss",
            "max_results": PLOT_POINTS,
        }
        figures, size = timed(
            lambda: self._client.get(path, params=query).raise_for_status().content, 10
        )
        print(f"mlflow: a plot of {steps} steps: {figures}, {size} bytes")
        return figures | {"bytes": size}

    def _run(self) -> str:
        created = self._post("runs/create", {"experiment_id": self._experiment, "start_time": 0})
        return str(created["run"]["info"]["run_id"])

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self._client.post(f"/api/2.0/mlflow/{path}", json=body)
        return answer.raise_for_status().json()


def batches(
    steps: range, size: int, names: tuple[str, ...]
) -> Iterator[list[dict[str, float | str]]]:
    """Yield the same points as for Stepline, in batches of `size`."""
    batch: list[dict[str, float | str]] = []
    for step in steps:
        values = values_at(step)
        for name in names:
            batch.append({"key": name, "value": values[name], "timestamp": step, "step": step})
            if len(batch) == size:
                yield batch
                batch = []
    if batch:
        yield batch


def peer_python() -> Path:
    """Return the interpreter of MLflow's environment, created on first use."""
    python = PEER_ENVIRONMENT / "bin" / "python"
    if not (PEER_ENVIRONMENT / "bin" / "mlflow").exists():
        venv.create(PEER_ENVIRONMENT, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", MLFLOW], check=True)
    return python
