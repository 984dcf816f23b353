"""Uploads in parts: from creation to a dataset, and everything that ends or rejects them."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import Response
from sqlalchemy import event

from app.config.settings import Settings
from app.db.engine import Database, database_now
from app.db.tables import PartialUpload
from app.doorbell import Doorbell
from app.storage.data_dir import Storage
from app.sweep.sweeper import Sweeper
from app.uploads import service
from tests.app.player import Player

ROWS = [{"instruction": f"第 {n} 题", "output": "答" * n} for n in range(1, 9)]
CONTENT = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
NEW = {
    "filename": "a.jsonl",
    "bytes": len(CONTENT),
    "purpose": "fine-tune",
    "mime_type": "application/jsonl",
}


def create(player: Player, **fields: Any) -> str:
    upload_id: str = player.client.post("/v1/uploads", json=NEW | fields).json()["id"]
    return upload_id


def add(player: Player, upload_id: str, content: bytes) -> Response:
    return player.client.post(f"/v1/uploads/{upload_id}/parts", files={"data": content})


def complete(
    player: Player, upload_id: str, part_ids: list[str], query: str = "", **fields: Any
) -> Response:
    path = f"/v1/uploads/{upload_id}/complete{query}"
    return player.client.post(path, json={"part_ids": part_ids} | fields)


def files_of(settings: Settings) -> list[Path]:
    return [path for path in (settings.data_dir / "uploads").rglob("*") if path.is_file()]


def code_of(response: Response) -> tuple[str, str | None]:
    error = response.json()["error"]
    return error["code"], error["param"]


def test_parts_in_any_order_become_the_dataset_that_a_single_request_would_create(
    player: Player, settings: Settings
) -> None:
    created = player.client.post("/v1/uploads", json=NEW).json()
    upload_id = created["id"]
    second = add(player, upload_id, CONTENT[100:])
    first = add(player, upload_id, CONTENT[:100])
    ids = [each.json()["id"] for each in (first, second)]

    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    completed = complete(player, upload_id, ids, md5=md5)
    again = complete(player, upload_id, ids)

    assert created["expires_at"] - created["created_at"] == 3600
    assert (created["status"], created["file"], created["received_bytes"]) == ("pending", None, 0)
    assert first.json().keys() == {"id", "object", "created_at", "upload_id"}
    upload = completed.json()
    assert (upload["status"], upload["received_bytes"]) == ("completed", len(CONTENT))
    assert again.json() == upload == player.get(f"/v1/uploads/{upload_id}")
    assert files_of(settings) == []
    dataset = player.get(f"/v1/datasets/{upload['file']['dataset_id']}")
    assert (dataset["rows"], dataset["bytes"]) == (len(ROWS), len(CONTENT))
    direct = player.client.post("/v1/datasets", files={"file": ("b.jsonl", CONTENT)})
    assert (direct.status_code, direct.json()["id"]) == (200, dataset["id"])


def test_columns_and_format_can_be_chosen_at_completion(player: Player) -> None:
    content = b"question,answer\na,b\n"
    upload_id = create(player, filename="a.csv", bytes=len(content))
    part = add(player, upload_id, content).json()["id"]

    query = "?columns[instruction]=question&columns[output]=answer"
    upload = complete(player, upload_id, [part], query).json()

    dataset = player.get(f"/v1/datasets/{upload['file']['dataset_id']}")
    assert (dataset["filename"], dataset["forms"]) == ("a.csv", {"alpaca": 1})


def test_parts_can_be_sent_in_parallel(player: Player) -> None:
    upload_id = create(player)
    pieces = [CONTENT[at : at + 50] for at in range(0, len(CONTENT), 50)]

    with ThreadPoolExecutor(8) as threads:
        parts = list(threads.map(lambda piece: add(player, upload_id, piece).json()["id"], pieces))

    assert complete(player, upload_id, parts).json()["status"] == "completed"


def test_a_part_sent_again_with_its_idempotency_key_is_stored_once(
    player: Player, settings: Settings
) -> None:
    upload_id, other = create(player), create(player)
    path = f"/v1/uploads/{upload_id}/parts"

    def send(path: str, content: bytes, key: str) -> dict[str, Any]:
        headers = {"Idempotency-Key": key}
        part: dict[str, Any] = player.client.post(
            path, files={"data": content}, headers=headers
        ).json()
        return part

    first = send(path, CONTENT[:99], "1")
    again = send(path, CONTENT[:99], "1")
    second = send(path, CONTENT[99:], "2")
    elsewhere = send(f"/v1/uploads/{other}/parts", CONTENT[:99], "1")

    assert again == first
    assert len({first["id"], second["id"], elsewhere["id"]}) == 3
    assert player.get(f"/v1/uploads/{upload_id}")["received_bytes"] == len(CONTENT)
    assert len(files_of(settings)) == 3
    completed = complete(player, upload_id, [first["id"], second["id"]])
    assert completed.json()["status"] == "completed"


def test_a_part_that_openais_client_sends_again_is_stored_once(
    player: Player, settings: Settings
) -> None:
    content = CONTENT[:9] * 2 + CONTENT[18:]  # begins with two equal parts
    upload_id = create(player, bytes=len(content))

    def send(part: bytes, retry: int) -> Response:
        return player.client.post(
            f"/v1/uploads/{upload_id}/parts",
            files={"data": part},
            headers={"x-stainless-retry-count": str(retry)},
        )

    parts = [send(content[:9], 0), send(content[9:18], 0), send(content[18:], 1)]
    assert [send(content[18:], n).json() for n in (1, 2)] == [parts[2].json()] * 2
    assert send(content[:9], 1).json() == parts[1].json(), "the newest of two equal parts"

    assert len({part.json()["id"] for part in parts}) == 3
    assert player.get(f"/v1/uploads/{upload_id}")["received_bytes"] == len(content)
    assert len(files_of(settings)) == 3


def test_the_file_of_an_upload_expires_after_the_requested_time(player: Player) -> None:
    lifetime = {"anchor": "created_at", "seconds": 7200}
    upload_id = create(player, expires_after=lifetime)
    part = add(player, upload_id, CONTENT).json()["id"]

    file = complete(player, upload_id, [part]).json()["file"]

    assert file["expires_at"] - file["created_at"] == 7200


def test_a_rejected_file_leaves_the_upload_open(player: Player) -> None:
    upload_id = create(player)
    first, second = (
        add(player, upload_id, half).json()["id"] for half in (CONTENT[:99], CONTENT[99:])
    )

    wrong_order = complete(player, upload_id, [second, first])
    missing = complete(player, upload_id, [first])
    damaged = complete(player, upload_id, [first, second], md5="0" * 32)

    assert code_of(wrong_order) == ("dataset_invalid", "file")
    assert code_of(missing) == ("upload_size_mismatch", "part_ids")
    assert code_of(damaged) == ("md5_mismatch", "md5")
    assert complete(player, upload_id, [first, second]).json()["status"] == "completed"


def test_an_invalid_request_is_rejected_and_its_field_is_named(
    player: Player, settings: Settings
) -> None:
    upload_id = create(player)
    other = create(player)
    part = add(player, upload_id, CONTENT[:9]).json()["id"]
    most = settings.max_upload_bytes

    for response, expected in (
        (player.client.post("/v1/uploads", json=NEW | {"bytes": 0}), "bytes"),
        (player.client.post("/v1/uploads", json=NEW | {"bytes": most + 1}), "bytes"),
        (player.client.post("/v1/uploads", json=NEW | {"purpose": "batch"}), "purpose"),
        (player.client.post("/v1/uploads", json=NEW | {"filename": ""}), "filename"),
        (
            player.client.post(
                "/v1/uploads", json=NEW | {"expires_after": {"anchor": "created_at", "seconds": 1}}
            ),
            "expires_after.seconds",
        ),
        (add(player, upload_id, CONTENT), "data"),
        (player.client.post(f"/v1/uploads/{upload_id}/parts", data={"data": "text"}), "data"),
        (complete(player, upload_id, []), "part_ids"),
        (complete(player, upload_id, [part, part]), "part_ids[1]"),
        (complete(player, other, [part]), "part_ids[0]"),
    ):
        assert (response.status_code, code_of(response)[1]) == (400, expected)
    for path in ("upload_none", "none", "ds_none/complete", "upload_none/cancel"):
        method = "GET" if "/" not in path else "POST"
        body = {"part_ids": [part]} if path.endswith("complete") else None
        response = player.client.request(method, f"/v1/uploads/{path}", json=body)
        assert (response.status_code, code_of(response)[0]) == (404, "upload_not_found")


def test_a_cancelled_upload_accepts_nothing_and_keeps_no_bytes(
    player: Player, settings: Settings
) -> None:
    upload_id = create(player)
    part = add(player, upload_id, CONTENT).json()["id"]
    assert len(files_of(settings)) == 1

    for _ in range(2):
        cancelled = player.client.post(f"/v1/uploads/{upload_id}/cancel").json()
        assert (cancelled["status"], cancelled["received_bytes"]) == ("cancelled", 0)

    assert files_of(settings) == []
    for response in (add(player, upload_id, b"x"), complete(player, upload_id, [part])):
        assert (response.status_code, code_of(response)[0]) == (409, "upload_ended")


@pytest.mark.parametrize("moment", ["path", "dataset"])
def test_an_upload_cancelled_while_it_is_completed_leaves_no_dataset(
    player: Player, app: FastAPI, settings: Settings, database: Database, moment: str
) -> None:
    """`moment`: the parts are opened, or the rows have been checked."""
    upload_id = create(player)
    part = add(player, upload_id, CONTENT).json()["id"]
    app.state.storage = CancellingStorage(settings.data_dir, database, upload_id, moment)

    late = complete(player, upload_id, [part])

    assert (late.status_code, code_of(late)[0]) == (409, "upload_ended")
    assert player.get("/v1/datasets")["data"] == []
    assert [path for path in settings.data_dir.glob("*/**/*") if path.is_file()] == []


def test_an_idle_sweep_does_not_write_for_uploads(
    player: Player, database: Database, settings: Settings
) -> None:
    create(player)
    statements: list[str] = []
    event.listen(
        database.writer, "before_cursor_execute", lambda *about: statements.append(about[2])
    )

    assert service.end_expired(database, Storage(settings.data_dir)) == 0

    assert [each for each in statements if not each.startswith("SELECT")] == []


def test_an_upload_expires_and_is_deleted_later(
    player: Player, database: Database, settings: Settings
) -> None:
    upload_id = create(player)
    part = add(player, upload_id, CONTENT).json()["id"]
    move(database, upload_id, expires_at=timedelta(seconds=-1))
    sweeper = Sweeper(database, settings, Doorbell(settings))

    late = complete(player, upload_id, [part])
    sweeper.sweep_once()

    assert (late.status_code, code_of(late)[0]) == (409, "upload_ended")
    assert player.get(f"/v1/uploads/{upload_id}")["status"] == "expired"
    assert files_of(settings) == []
    move(database, upload_id, ended_at=-service.KEPT - timedelta(seconds=1))
    sweeper.sweep_once()
    assert player.client.get(f"/v1/uploads/{upload_id}").status_code == 404


def test_open_uploads_are_limited(player: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_PENDING", 1)
    create(player)

    second = player.client.post("/v1/uploads", json=NEW)

    assert (second.status_code, code_of(second)[0]) == (429, "too_many_uploads")
    assert second.headers["retry-after"] == "60"


@dataclass(frozen=True)
class CancellingStorage(Storage):
    """A data directory that cancels an upload when one of its methods is called."""

    database: Database
    upload_id: str
    moment: str

    def path(self, relative: str) -> Path:
        """Cancel the upload if this is the chosen moment; return a path."""
        self._cancel_at("path")
        return super().path(relative)

    def dataset(self, dataset_id: str) -> str:
        """Cancel the upload if this is the chosen moment; return a path."""
        self._cancel_at("dataset")
        return super().dataset(dataset_id)

    def _cancel_at(self, moment: str) -> None:
        if self.moment == moment:
            service.cancel_upload(self.database, Storage(self.root), self.upload_id)


def move(database: Database, upload_id: str, **times: timedelta) -> None:
    """Set times of an upload relative to now."""
    with database.writing() as session:
        upload = session.query(PartialUpload).filter_by(id=upload_id).one()
        for name, offset in times.items():
            setattr(upload, name, database_now(session) + offset)
