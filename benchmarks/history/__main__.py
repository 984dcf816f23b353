"""Compares Stepline's loss history with an MLflow tracking server's: the same points over HTTP, on one machine, in one run.

    python -m benchmarks.history [--points 300000] [--read-points 100000] [--databases sqlite,postgresql]
        [--large 1000000] [--streams 1000] [--skip-peer]

Writing: training steps with six values each go to Stepline by HTTP sync with the token of a real claim, and to MLflow by
log-batch, one request after another and with full durability. On both sides, a point is one value of one series at one step.
Requests of equal size are compared: first 50 points per request, then 1,000 (MLflow's maximum). Then the benchmark kills Stepline's server with
SIGKILL and counts the acknowledged records that are missing.

Reading: each side returns a curve of 1,000 points for a plot of `--read-points` steps, Stepline through /metrics and
MLflow through get-history-bulk-interval. Then Stepline alone is measured with a job of `--large` steps, and with `--streams` open streams of one
server process during `--stream-seconds` of training, whose steps go through the worker's real recorder and reporter. The last
line is JSON; "ratios" holds the smallest measured ratios.
"""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.history.plots import measure_large, read_ours
from benchmarks.history.server import Server, database_url
from benchmarks.history.steps import count_lost, fill_ours, write_ours
from benchmarks.history.streams import measure_streams
from benchmarks.peers.mlflow import measure_peer


def main() -> None:
    """Measure both sides and print the figures and JSON."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no server is left running
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = {kind: measure_ours(kind, folder, options) for kind in options.databases}
        peer = None if options.skip_peer else measure_peer(folder, options)
    ratios: dict[str, float] = {}
    if peer is not None:
        ratios = compare(list(ours.values()), peer)
    print(json.dumps({"stepline": ours, "mlflow": peer, "ratios": ratios}))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.history",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument(
        "--points", type=int, default=60_000, help="points to write per request size"
    )
    parser.add_argument("--read-points", type=int, default=100_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--stream-seconds", type=float, default=30)
    parser.add_argument("--databases", default="sqlite,postgresql", type=lambda x: x.split(","))
    parser.add_argument("--skip-peer", action="store_true")
    return parser.parse_args()


def compare(ours: list[dict[str, Any]], peer: dict[str, Any]) -> dict[str, float]:
    """Return the smallest ratios across all databases and request sizes, and print each ratio."""
    writes, reads = [], []
    for side in ours:
        for size, figures in side["write"].items():
            ratio = figures["points_per_second"] / peer["write"][size]["points_per_second"]
            writes.append(ratio)
            print(
                f"{side['database']}: writing, {size} points per request: {ratio:.1f} times as fast as MLflow"
            )
        reads.append(peer["read"]["median_ms"] / side["read"]["median_ms"])
        print(f"{side['database']}: reading a plot: {reads[-1]:.1f} times as fast as MLflow")
    return {"write_vs_mlflow": round(min(writes), 2), "read_vs_mlflow": round(min(reads), 2)}


def measure_ours(kind: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure Stepline on one kind of database."""
    folder = folder / kind
    folder.mkdir()
    with database_url(kind, folder) as url:
        server = Server(folder, url)
        server.start()
        try:
            found: dict[str, Any] = {"database": kind, "write": {}}
            for size in (50, 1000):
                found["write"][str(size)] = write_ours(server, options.points, size)
            found["lost_after_kill"] = count_lost(server, url)
            print(f"{kind}: {found['lost_after_kill']} acknowledged records lost after kill -9")
            job = fill_ours(server, options.read_points)
            found["read"] = read_ours(server, job, f"{options.read_points} steps")
            found["large"] = measure_large(server, options.large)
            found["streams"] = asyncio.run(measure_streams(server, folder, options))
            return found
        finally:
            server.kill()
            server.client.close()


if __name__ == "__main__":
    main()
