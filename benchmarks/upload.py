"""Measures the upload of a large JSONL file: the speed of the check, the memory of the server and of the child, and other requests.

    python -m benchmarks.upload [--bytes 1000000000] [--row-bytes 1600]

A server with a new SQLite database receives the file as the body of one request and checks it after the response. Meanwhile,
a client reads the list of jobs 20 times a second. The benchmark prints the seconds of the upload, of the check and of the review, MB per
second and per processor second, the peak of resident memory before, during the upload and during the check, and the latency of the other requests
before and during each of them; the last line is JSON. The temporary directory needs four times the size of the file.
"""

import argparse
import contextlib
import json
import os
import platform
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil  # type: ignore[import-untyped]  # it has no type hints

WORDS = ["run", "train", "step", "loss", "model", "token", "adapter", "layer", "数据", "模型"]
JOBS = 50
QUIET_SECONDS = 5.0
BLOCK_BYTES = 1024 * 1024
FEWEST_REQUESTS = 2
"""Minimum number of requests for quantiles."""
MB = 1e6


def main() -> None:
    """Upload the file, wait until it is ready, and print the figures."""
    options = arguments()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, load {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory(prefix="stepline-upload-") as folder:
        os.environ["TMPDIR"] = folder  # the server's temporary files
        file = Path(folder, "rows.jsonl")
        rows = write_rows(file, options.bytes, options.row_bytes)
        with serving(Path(folder)) as (process, client):
            print(json.dumps(measure(process, client, file, rows)))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--bytes", type=int, default=10**9)
    parser.add_argument("--row-bytes", type=int, default=1600)
    return parser.parse_args()


def write_rows(file: Path, size: int, row_bytes: int) -> int:
    """Write chats and Alpaca rows alternately; return the number of rows."""
    source = random.Random(7)  # noqa: S311  # not for secrets
    count = 0

    def text(length: int) -> str:
        return " ".join(source.choices(WORDS, k=max(1, length // 6)))

    with file.open("w", encoding="utf-8") as output:
        written = 0
        while written < size:
            if count % 2:
                quarter = row_bytes // 4
                roles = ("user", "assistant") * 2
                turns = [{"role": role, "content": text(quarter)} for role in roles]
                row: dict[str, object] = {"messages": turns}
            else:
                row = {"instruction": text(row_bytes // 4), "output": text(3 * row_bytes // 4)}
            line = json.dumps(row, ensure_ascii=False) + "\n"
            output.write(line)
            written += len(line.encode())
            count += 1
    return count


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[psutil.Process, httpx2.Client]]:
    """Run a server with a new database and some jobs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "STEPLINE_DATABASE_URL": f"sqlite:///{folder}/stepline.db",
        "STEPLINE_DATA_DIR": f"{folder}/files",
        "STEPLINE_PORT": str(port),
        "STEPLINE_DOORBELL": "false",
    }
    subprocess.run([sys.executable, "-m", "app.migrate"], env=environment, check=True)
    with (
        (folder / "server.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "app.main"], env=environment, stdout=log, stderr=log
        ) as process,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=600, trust_env=False) as client,
    ):
        try:
            while True:
                with contextlib.suppress(httpx2.TransportError):
                    client.get("/healthz").raise_for_status()
                    break
                time.sleep(0.1)
            for _ in range(JOBS):
                spec = {"model": "m", "dataset": {"train": {"hub": "someone/data"}}}
                client.post("/v1/jobs", json=spec).raise_for_status()
            yield psutil.Process(process.pid), client
        finally:
            process.terminate()


def measure(
    process: psutil.Process, client: httpx2.Client, file: Path, rows: int
) -> dict[str, object]:
    """Upload and wait; return the figures."""
    watch = Watch(process, str(client.base_url))
    time.sleep(QUIET_SECONDS)
    watch.phase = "upload"
    began = time.monotonic()
    headers = {"Content-Type": "application/jsonl"}
    response = client.post("/v1/datasets", content=blocks(file), headers=headers)
    if response.status_code != 202:
        raise SystemExit(f"{response.status_code}: {response.text[:500]}")
    uploaded = time.monotonic()
    watch.phase = "check"
    path = f"/v1/datasets/{response.json()['id']}"
    checked = None
    while (dataset := client.get(path).json())["status"] == "validating":
        if checked is None and dataset["progress"]["bytes"] == dataset["bytes"]:
            checked, watch.phase = time.monotonic(), "review"
        time.sleep(0.1)
    reviewed = time.monotonic()
    checked = checked or reviewed
    watch.phase = "after"
    watch.stop()
    if (dataset["status"], dataset["rows"]) != ("ready", rows):
        raise SystemExit(json.dumps(dataset)[:500])
    size = file.stat().st_size
    found: dict[str, object] = {
        "bytes": size,
        "rows": rows,
        "upload_seconds": round(uploaded - began, 1),
        "check_seconds": round(checked - uploaded, 1),
        "check_mb_per_second": round(size / MB / (checked - uploaded), 1),
        "check_mb_per_cpu_second": round(size / MB / watch.check_cpu_seconds, 1),
        "review_seconds": round(reviewed - checked, 1),
        "reviewed_rows": (dataset["review"] or {}).get("reviewed_rows", 0),
    }
    for phase, seconds in watch.seconds.items():
        if phase == "after" or len(seconds) < FEWEST_REQUESTS:
            continue
        peaks = watch.peaks[phase]
        found[phase] = {
            "server_mb": round(peaks["server"] / MB),
            "child_mb": round(peaks["child"] / MB),
            "jobs_ms_median": round(1000 * statistics.median(seconds), 1),
            "jobs_ms_p95": round(1000 * statistics.quantiles(seconds, n=20)[-1], 1),
            "requests": len(seconds),
        }
        print(phase, found[phase], flush=True)
    return found


def blocks(file: Path) -> Iterator[bytes]:
    """Yield the file in blocks."""
    with file.open("rb") as source:
        while block := source.read(BLOCK_BYTES):
            yield block


class Watch:
    """Samples memory and the latency of other requests in threads, by phase."""

    def __init__(self, process: psutil.Process, url: str) -> None:
        self.phase = "before"
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.peaks: dict[str, dict[str, int]] = defaultdict(lambda: {"server": 0, "child": 0})
        self.check_cpu_seconds = 0.0
        """CPU time of the child that checks the file, until the review. On a busy machine, it gets less than one processor."""
        self._process = process
        self._url = url
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=run) for run in (self._read_jobs, self._sample)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop both threads."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _read_jobs(self) -> None:
        with httpx2.Client(base_url=self._url, timeout=60, trust_env=False) as client:
            while not self._stopping.wait(0.05):
                phase, began = self.phase, time.monotonic()
                client.get("/v1/jobs").raise_for_status()
                self.seconds[phase].append(time.monotonic() - began)

    def _sample(self) -> None:
        while not self._stopping.wait(0.05):
            peak = self.peaks[self.phase]
            peak["server"] = max(peak["server"], self._process.memory_info().rss)
            with contextlib.suppress(psutil.Error):
                children = self._process.children(recursive=True)
                peak["child"] = max(peak["child"], sum(c.memory_info().rss for c in children))
                times = [child.cpu_times() for child in children]
                used_seconds = sum(each.user + each.system for each in times)
                if self.phase == "check":
                    self.check_cpu_seconds = max(self.check_cpu_seconds, used_seconds)


if __name__ == "__main__":
    main()
