"""If storage is full or unavailable, the server responds clearly, leaves nothing partially written and recovers automatically."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from app.config.settings import Settings
from app.db.engine import Database
from app.main import create_app
from contracts.base import utc_now
from contracts.record import CheckpointRecord
from tests.app.player import BASE_URL, Player
from tests.factories import make_metric
from tests.programs.server_process import TOKEN, Server

ROOM_BYTES = 600_000


def error_of(response: Response) -> tuple[int, str, str | None]:
    assert "x-should-retry" not in response.headers
    code = response.json()["error"]["code"]
    return response.status_code, code, response.headers.get("retry-after")


class SmallDiskServer(Server):
    """A server whose data directory is a small file system."""

    def start(self) -> None:
        files = self._environment["STEPLINE_DATA_DIR"]
        Path(files).mkdir()
        mount = f"mount -t tmpfs -o size={ROOM_BYTES} tmpfs '{files}'"
        self.program = (
            *("unshare", "--map-root-user", "--mount", "sh", "-c"),
            f"{mount} && exec '{sys.executable}' -m app.main",
        )
        super().start()


@pytest.fixture
def small_disk(tmp_path: Path, migrated_file: Path) -> Iterator[SmallDiskServer]:
    result = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "true"], capture_output=True, check=False
    )
    if result.returncode != 0:
        pytest.skip("this system does not let users mount file systems")
    shutil.copy(migrated_file, tmp_path / "stepline.db")
    server = SmallDiskServer(tmp_path, f"sqlite:///{tmp_path}/stepline.db")
    server.start()
    yield server
    server.close()


def test_a_full_data_directory_rejects_uploads_that_do_not_fit_and_accepts_the_rest(
    small_disk: SmallDiskServer,
) -> None:
    player = Player(small_disk.client)
    full = (507, "storage_full", "30")
    large = b"x" * (ROOM_BYTES + 1)
    rows = b'{"instruction": "q", "output": "' + large + b'"}\n'
    assert error_of(small_disk.client.post("/v1/datasets", files={"file": ("a", rows)})) == full

    job = player.submit()
    claim = player.claim()
    player.sync(claim, CheckpointRecord(seq=1, at=utc_now(), step=5, name="c", bytes=3))
    player.offer(claim, 5, tensors=large)
    assert error_of(player.put_artifact(claim, content=large)) == full
    assert error_of(player.put_file(claim, large)) == full

    # Nothing remains of the rejected uploads: smaller ones still fit, and clients may retry.
    half = b"y" * (ROOM_BYTES // 2)
    assert player.put_artifact(claim, content=half).status_code == 201
    assert player.offer(claim, 5, tensors=b"small").json()["stored"] is False
    assert player.put_file(claim, b"small").status_code == 201
    assert player.offer(claim, 5, tensors=b"small").json()["stored"] is True
    assert error_of(player.put_artifact(claim, "more", half)) == full

    # Deleting a job frees space.
    assert player.finish(claim, "cancelled", 1).status_code == 200
    assert small_disk.client.delete(f"/v1/jobs/{job}").status_code == 200
    player.submit()
    assert player.put_artifact(player.claim(), content=half).status_code == 201


def test_a_full_database_rejects_writes_until_there_is_space(
    tmp_path: Path, migrated_file: Path
) -> None:
    shutil.copy(migrated_file, tmp_path / "stepline.db")
    settings = Settings(
        database_url=f"sqlite:///{tmp_path}/stepline.db",
        data_dir=tmp_path / "files",
        worker_token=TOKEN,
        doorbell=False,
    )
    app = create_app(settings)
    app.state.storage.prepare()
    database: Database = app.state.database
    with TestClient(app, base_url=BASE_URL) as client:
        player = Player(client)
        job = player.submit()
        claim = player.claim()
        with database.writer.connect() as connection:  # the connection that every writer uses
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        records = [make_metric(seq) for seq in range(1, 1001)]

        response = player.send_sync(claim, records)

        assert error_of(response) == (507, "storage_full", "30")
        assert player.get(f"/v1/jobs/{job}/loss")["data"] == [], "no part of the sync is stored"
        with database.writer.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count=1000000")
        assert player.sync(claim, *records).acked_seq == 1000
    database.close()


def test_the_server_recovers_when_unavailable_storage_returns(
    client: TestClient, player: Player, settings: Settings
) -> None:
    job = player.submit()
    claim = player.claim()
    player.put_artifact(claim)
    elsewhere = settings.data_dir.with_name("elsewhere")
    settings.data_dir.rename(elsewhere)
    unavailable = (503, "storage_unavailable", "10")
    artifact = f"/v1/jobs/{job}/artifacts/adapter.zip"

    assert error_of(player.put_artifact(claim, content=b"other")) == unavailable
    assert error_of(client.get(artifact)) == unavailable
    rows = b'{"instruction": "other", "output": "a"}\n'
    assert error_of(client.post("/v1/datasets", files={"file": ("a", rows)})) == unavailable
    assert client.get("/readyz").status_code == 503

    elsewhere.rename(settings.data_dir)
    assert client.get(artifact).content == b"adapter"
    assert player.put_artifact(claim, content=b"other").status_code == 201
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_full_postgresql_disk_is_reported_until_there_is_space(
    player: Player, settings: Settings
) -> None:
    job = player.submit()
    claim = player.claim()
    records = [make_metric(seq) for seq in range(1, 11)]
    database = Database(settings.database_url)

    def execute(statement: str) -> None:
        with database.writer.begin() as connection:
            connection.exec_driver_sql(statement)

    # A trigger raises the error that PostgreSQL raises if it cannot add a block to a table.
    execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$"
    )
    execute("CREATE TRIGGER full_disk BEFORE INSERT ON records EXECUTE FUNCTION refuse()")

    assert error_of(player.send_sync(claim, records)) == (507, "storage_full", "30")
    assert player.get(f"/v1/jobs/{job}/loss")["data"] == [], "no part of the sync is stored"

    execute("DROP TRIGGER full_disk ON records")
    assert player.sync(claim, *records).acked_seq == 10
    database.close()
