"""The server's disk is full: writes fail with a clear error, nothing is partially written, and the server recovers once there is space."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.db.engine import Database
from app.migrate import migrate
from tests.programs.ports import find_free_port

SIZE = "4m"
"""Size of the file system that holds both the database and the files."""
FULL = {"storage_full", "storage_unavailable", "database_unavailable"}
SPEC = {"model": "m", "dataset": {"train": {"hub": "someone/data"}}}


def can_mount() -> bool:
    """Return whether this machine lets a process mount its own small file system."""
    attempt = subprocess.run(
        ["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"],
        capture_output=True,
        check=False,
    )
    return attempt.returncode == 0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[httpx2.Client]:
    """An API whose data directory is on a tiny file system that only this API can see."""
    if not can_mount():
        pytest.skip("user namespaces are not available")
    database = Database(f"sqlite:///{tmp_path}/stepline.db")
    migrate(database)
    database.close()
    small = tmp_path / "small"
    small.mkdir()
    port = find_free_port()
    script = (
        f"mount -t tmpfs -o size={SIZE} none {small} && cp {tmp_path}/stepline.db {small}/ && "
        f"exec {sys.executable} -m app.main"
    )
    environment = os.environ | {
        "STEPLINE_DATABASE_URL": f"sqlite:///{small}/stepline.db",
        "STEPLINE_DATA_DIR": str(small / "files"),
        "STEPLINE_PORT": str(port),
        "STEPLINE_DOORBELL": "false",
    }
    log = tmp_path / "server.log"
    with (
        log.open("wb") as output,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client,
    ):
        process = subprocess.Popen(
            ["unshare", "-Urm", "sh", "-c", script], env=environment, stdout=output, stderr=output
        )
        try:
            deadline = time.monotonic() + 60
            while not _is_up(client):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield client
        finally:
            process.kill()
            process.wait()
    shutil.rmtree(small, ignore_errors=True)


def _is_up(client: httpx2.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx2.TransportError:
        return False


def upload(client: httpx2.Client, mark: str, rows: int) -> httpx2.Response:
    lines = [json.dumps({"instruction": f"{mark}{n}", "output": "x" * 100}) for n in range(rows)]
    return client.post("/v1/datasets", files={"file": ("rows.jsonl", "\n".join(lines).encode())})


def all_jobs(client: httpx2.Client) -> list[Any]:
    found: list[Any] = client.get("/v1/jobs", params={"limit": 100}).json()["data"]
    return found


def test_writes_to_a_full_disk_are_rejected_and_succeed_once_there_is_space(
    server: httpx2.Client,
) -> None:
    kept = server.post("/v1/jobs", json=SPEC).json()["id"]
    filler = upload(server, "filler", 6_000)
    assert filler.status_code == 201, filler.text

    rejected = upload(server, "more", 30_000)
    answers = [server.post("/v1/jobs", json=SPEC)]
    while answers[-1].status_code == 201 and len(answers) < 3_000:
        answers.append(server.post("/v1/jobs", json=SPEC))

    for answer in (rejected, answers[-1]):
        assert answer.status_code in {503, 507}, answer.text
        assert answer.json()["error"]["code"] in FULL
    assert [dataset["id"] for dataset in server.get("/v1/datasets").json()["data"]] == [
        filler.json()["id"]
    ]
    assert server.get(f"/v1/jobs/{kept}").status_code == 200

    deleted = server.delete(f"/v1/datasets/{filler.json()['id']}")
    assert deleted.is_success, deleted.text
    assert server.post("/v1/jobs", json=SPEC).status_code == 201
    assert server.post(f"/v1/jobs/{kept}/cancel").json()["status"] == "cancelled"
    assert server.get("/readyz").status_code in {200, 503}
