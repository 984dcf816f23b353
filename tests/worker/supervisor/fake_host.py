"""A host with several cards, and a server that assigns scripted jobs: for tests of workers that lend each other cards.

The workers are processes that run the real supervisor; the training program and the check of the device are small programs.
"""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from contracts.attempt import Claim, ClaimRequest, SyncReply, Wanted
from contracts.run.run_dir import Placed, RunDir
from tests.factories import make_spec
from tests.programs.processes import find_processes, marked
from tests.programs.waiting import wait_for
from tests.worker.supervisor.builders import make_claim
from worker.supervisor.host.identity import worker_home
from worker.supervisor.host.siblings import FLEET, Sibling, write_cards

MODEL = "GPU of a test"
WORKER = """
import functools, os, sys
from contracts.attempt import Device, WorkerInfo
from worker.logs import configure_logging
from worker.settings import load_settings
from worker.supervisor import attempt, run
from worker.supervisor.child.device_guard import DeviceGuard
from worker.supervisor.child.process import start_child
configure_logging()
settings, uuid = load_settings(), os.environ["CUDA_VISIBLE_DEVICES"]
device = Device(kind="cuda", name=sys.argv[1], uuid=uuid) if uuid else Device()
worker = WorkerInfo(worker_id="w-" + uuid, device=device, host_id=os.environ["STEPLINE_FLEET"])
if sys.argv[2]:
    attempt.start_child = functools.partial(start_child, program=("-c", sys.argv[2]))
guard = DeviceGuard(settings, worker, os.environ, program=("-c", sys.argv[3]))
print("ready", flush=True)
def say(): print("passes the ring on", flush=True)
for line in sys.stdin:
    print("ended", run.run_next(settings, worker, os.environ, guard, say), flush=True)
"""
TRAINING = """
import json, os, pathlib, subprocess, sys, time
place = pathlib.Path(sys.argv[-1])
locks = [int(number) for number in os.environ["STEPLINE_LOCK_FDS"].split(",")]
rank = "import sys, time; time.sleep(600)"
placed = json.loads((place / "placed.json").read_text())
for _ in range(placed["ranks"] - 1):
    subprocess.Popen([sys.executable, "-c", rank, str(place)], pass_fds=locks)
(place / "new").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
(place / "new").rename(place / "started")
while not (place.parent / "finish").exists():
    time.sleep(0.02)
text = (place.parent / "finish").read_text()
(place / "outcome.json").write_text(text)
"""
"""Starts the other ranks, and ends as the test specifies."""
CHECK = """
import pathlib, sys
if (pathlib.Path(sys.argv[-1]).parent / "broken").exists():
    sys.exit("the card is broken")
"""


class FakeHost:
    """Workers with one card each (or one worker on the CPU), and their server."""

    def __init__(
        self, directory: Path, cards: int, training: str = TRAINING, **settings: str
    ) -> None:
        """`training`: the code of the training program; empty for the real one."""
        self.directory, self.lock_dir = directory, directory / "locks"
        self.work_dir = directory / "work"
        self.lock_dir.mkdir()
        model = directory / "models" / "tiny-qwen2"
        model.mkdir(parents=True)
        (model / "config.json").write_text("{}")
        self.server = JobServer()
        self.training, self.settings = training, settings
        self.uuids = [f"GPU-{number}" for number in range(cards)] or [""]
        self.workers: dict[str, Worker] = {}
        siblings = [
            Sibling(uuid=uuid, model=MODEL, lock=uuid, home=self.home(uuid)) for uuid in self.uuids
        ]
        if cards:
            write_cards(self.lock_dir, "host", siblings)

    def home(self, uuid: str) -> Path:
        return worker_home(self.work_dir, f"w-{uuid}")

    def start(self, uuid: str) -> "Worker":
        """Start the worker of a card, which does not claim jobs until the test rings."""
        environment = {
            "STEPLINE_SERVER_URL": self.server.url,
            "STEPLINE_WORKER_TOKEN": "token",
            "STEPLINE_WORK_DIR": str(self.work_dir),
            "STEPLINE_LOCK_DIR": str(self.lock_dir),
            "STEPLINE_MODELS_DIR": str(self.directory / "models"),
            "STEPLINE_HUB": "false",
            "STEPLINE_POLL_SECONDS": "0.02",
            "CUDA_VISIBLE_DEVICES": uuid,
            FLEET: "host",
        }
        marks = marked(str(self.directory))
        worker = Worker(self.training, os.environ | marks | environment | self.settings)
        self.workers[uuid] = worker
        return worker

    def run_dir(self, uuid: str, job: str) -> RunDir:
        return RunDir(self.home(uuid) / job)

    def finish(self, uuid: str, status: str = "cancelled", **outcome: Any) -> None:
        """Make the training programs of a worker end."""
        path = self.home(uuid) / "finish"
        path.with_suffix(".tmp").write_text(json.dumps({"status": status} | outcome))
        path.with_suffix(".tmp").replace(path)

    def wait_for_start(self, uuid: str, job: str) -> list[str]:
        """Wait until a worker's training program has started its ranks; return its cards."""
        started = self.run_dir(uuid, job).path / "started"
        wait_for(started.exists, self.logs)
        placed = Placed.model_validate_json(self.run_dir(uuid, job).placed.read_bytes())
        cards = started.read_text().split(",")
        assert uuid == "" or placed.ranks == len(cards)
        return cards

    def logs(self) -> str:
        return "\n".join(f"--- {uuid}: {worker.lines}" for uuid, worker in self.workers.items())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.kill()
        # The small training programs outlive a killed worker. One that has just started may start more.
        while left := find_processes(str(self.directory), self.work_dir):
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        self.server.close()


class Worker:
    """A worker process, which the test rings."""

    def __init__(self, training: str, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, MODEL, training, CHECK],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.wait_for("ready")

    def ring(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("ring\n")
        self._process.stdin.flush()

    def count(self, text: str) -> int:
        return sum(text in line for line in self.lines)

    def wait_for(self, text: str, count: int = 1) -> None:
        wait_for(lambda: self.count(text) >= count, lambda: f"{text}: {self.lines}")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.strip())


class JobServer:
    """Assigns jobs in order: each claim gets the first one if it has enough free cards, otherwise nothing."""

    def __init__(self) -> None:
        self.jobs: list[tuple[str, int]] = []
        """Names of jobs, and the number of GPUs that they need."""
        self.spec, self.rows = make_spec(), b'{"prompt": "a", "completion": "b"}\n'
        self.claims: list[ClaimRequest] = []
        self.hellos: list[Any] = []
        self.syncs: list[Any] = []
        self.finished: dict[str, Any] = {}
        self.before_claim: Callable[[], object] = lambda: None
        """Called while a worker is waiting for the reply to its claim."""
        self.ignores_free_cards = False
        self._acked_seq = self._acked_output = 0
        self._guard = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = outer.answer(self.path, body)
                self.send_response(204 if answer is None else 200)
                self.send_header("Content-Length", str(len(answer or b"")))
                self.end_headers()
                self.wfile.write(answer or b"")

            do_GET = do_POST = do_PUT = handle_any  # noqa: N815  # http.server's names

            def log_message(self, *_: Any) -> None: ...

        class Http(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Print nothing: tests kill workers during their requests."""

        self._http = Http(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, path: str, body: bytes) -> bytes | None:
        match path.rpartition("/")[2]:
            case "claim":
                self.before_claim()
                claim = self._claim(ClaimRequest.model_validate_json(body))
                return None if claim is None else claim.model_dump_json().encode()
            case "sync":
                self.syncs.append(json.loads(body))
                return self._sync(self.syncs[-1])
            case "finish":
                self.finished[path.split("/")[-2]] = json.loads(body)["outcome"]
                return b'{"job_status": "failed"}'
            case "workers":
                self.hellos.append(json.loads(body))
                return None
            case _:
                return self.rows if "/datasets/" in path else None  # an uploaded file

    def _sync(self, request: Any) -> bytes:
        """Acknowledge everything so far. Only one job at a time may send records."""
        output = request["output"]
        if request["records"]:
            self._acked_seq = request["records"][-1]["seq"]
        if output is not None:
            self._acked_output = output["offset"] + output["bytes"]
        reply = SyncReply(
            wanted=Wanted.CONTINUE,
            lease_seconds=45,
            acked_seq=self._acked_seq,
            acked_output=self._acked_output,
            acked_note=request["notes"][-1]["number"] if request["notes"] else 0,
        )
        return reply.model_dump_json().encode()

    def _claim(self, request: ClaimRequest) -> Claim | None:
        with self._guard:
            self.claims.append(request)
            is_too_large = bool(self.jobs) and self.jobs[0][1] > request.free_cards
            if not self.jobs or (is_too_large and not self.ignores_free_cards):
                return None
            job, gpus = self.jobs.pop(0)
        sha256, size = hashlib.sha256(self.rows).hexdigest(), len(self.rows)
        train = {"dataset_id": "ds_1", "sha256": sha256, "bytes": size, "rows": 1}
        return make_claim(
            attempt_id=job, job_id=job, gpus=gpus, train=train, spec=self.spec, sync_seconds=0.2
        )
