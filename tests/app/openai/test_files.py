"""Files in OpenAI's format: upload, list, content and deletion, and their effect on datasets."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from fastapi import FastAPI
from httpx2 import Response
from sqlalchemy import update

from app.db.engine import Database, database_now
from app.db.openai_tables import File
from app.doorbell import Doorbell
from app.files import service as files
from app.sweep.sweeper import Sweeper
from tests.app.player import Player

CONTENT = "".join(
    json.dumps(
        {"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": "!"}]}
    )
    + "\n"
    for n in range(9)
).encode()


def post(player: Player, content: bytes = CONTENT, name: str = "a.jsonl", **form: Any) -> Response:
    fields = {"purpose": "fine-tune"} | form
    return player.client.post("/v1/files", files={"file": (name, content)}, data=fields)


def create(player: Player, content: bytes = CONTENT, **form: Any) -> Any:
    response = post(player, content, **form)
    assert response.status_code == 200, response.text
    return response.json()


def code_of(response: Response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["param"]


def test_identical_uploads_become_two_files_with_one_dataset(player: Player) -> None:
    first, second = create(player), create(player, name="b.jsonl")

    assert first["id"] != second["id"]
    assert first["dataset_id"] == second["dataset_id"]
    assert (
        first.items()
        >= {
            "object": "file",
            "bytes": len(CONTENT),
            "filename": "a.jsonl",
            "purpose": "fine-tune",
            "status": "processed",
            "expires_at": None,
        }.items()
    )
    assert player.get(f"/v1/files/{first['id']}") == first
    assert player.client.get(f"/v1/files/{first['id']}/content").content == CONTENT


def test_the_list_of_files_continues_after_a_given_file_and_ends(player: Player) -> None:
    ids = [create(player)["id"] for _ in range(3)]

    newest = player.get("/v1/files", limit=2)
    rest = player.get("/v1/files", limit=2, after=newest["last_id"], purpose="fine-tune")
    oldest = player.get("/v1/files", order="asc")

    assert [each["id"] for each in newest["data"]] == [ids[2], ids[1]]
    assert (newest["has_more"], newest["first_id"]) == (True, ids[2])
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == ([ids[0]], False)
    assert [each["id"] for each in oldest["data"]] == ids
    wrong = player.client.get("/v1/files", params={"after": "file-0"})
    assert code_of(wrong) == (400, "bad_cursor", "after")


def test_all_files_can_be_deleted_while_the_list_is_read_page_by_page(
    player: Player, database: Database
) -> None:
    ids = [create(player)["id"] for _ in range(5)]
    read: list[str] = []

    last: str | None = None
    for _ in range(3):
        page = player.get("/v1/files", limit=2, **({} if last is None else {"after": last}))
        for file in page["data"]:
            player.client.delete(f"/v1/files/{file['id']}").raise_for_status()
        read += [each["id"] for each in page["data"]]
        last = page["last_id"]

    assert read == ids[::-1]
    assert page["has_more"] is False
    with database.writing() as session:
        files.forget_deleted(session, database_now(session) + timedelta(days=1, seconds=1))
    forgotten = player.client.get("/v1/files", params={"after": last})
    assert code_of(forgotten) == (400, "bad_cursor", "after")


def test_the_dataset_is_deleted_with_its_last_file_only_if_a_file_stored_it(
    player: Player,
) -> None:
    first, second = create(player), create(player)
    own = player.upload()
    third = create(player, "\n".join(_alpaca(20)).encode())
    assert third["dataset_id"] == own

    for file in (first, third):
        player.client.delete(f"/v1/files/{file['id']}").raise_for_status()
    assert player.get(f"/v1/datasets/{first['dataset_id']}")["rows"] == 9
    assert player.get(f"/v1/datasets/{own}")["rows"] == 20
    deleted = player.client.delete(f"/v1/files/{second['id']}")

    assert deleted.json() == {"id": second["id"], "object": "file", "deleted": True}
    assert player.client.get(f"/v1/datasets/{first['dataset_id']}").status_code == 404
    again = player.client.delete(f"/v1/files/{second['id']}")
    assert code_of(again) == (404, "file_not_found", None)
    assert again.headers["x-should-retry"] == "false"


def test_a_dataset_that_was_also_uploaded_stays_when_its_file_is_deleted(player: Player) -> None:
    rows = "\n".join(_alpaca(20)).encode()
    file = create(player, rows)
    assert player.upload() == file["dataset_id"]

    player.client.delete(f"/v1/files/{file['id']}").raise_for_status()

    assert player.get(f"/v1/datasets/{file['dataset_id']}")["rows"] == 20


def test_a_file_of_a_queued_job_cannot_be_deleted(player: Player) -> None:
    file = create(player)
    player.submit(dataset={"train": file["dataset_id"]})

    assert code_of(player.client.delete(f"/v1/files/{file['id']}"))[:2] == (409, "dataset_in_use")
    assert player.get(f"/v1/files/{file['id']}") == file


def test_an_expired_file_is_not_found_and_the_sweep_deletes_its_dataset(
    player: Player, app: FastAPI
) -> None:
    file = create(player, **_lifetime("3600"))
    assert file["expires_at"] - file["created_at"] == 3600

    with app.state.database.writing() as session:
        past = database_now(session) - timedelta(seconds=1)
        session.execute(update(File).values(expires_at=past))
    assert player.client.get(f"/v1/files/{file['id']}").status_code == 404
    assert player.get("/v1/files")["data"] == []
    Sweeper(app.state.database, app.state.settings, Doorbell(app.state.settings)).sweep_once()

    assert player.get("/v1/datasets")["data"] == []


def test_invalid_uploads_are_rejected_with_the_field_and_the_line(player: Player) -> None:
    rows = post(player, b'{"messages": []}\n')
    other_purpose = post(player, purpose="assistants")
    no_file = player.client.post("/v1/files", data={"purpose": "fine-tune"})
    no_purpose = player.client.post("/v1/files", files={"file": ("a.jsonl", CONTENT)})
    short = post(player, **_lifetime("5"))

    assert code_of(rows) == (400, "dataset_invalid", "file")
    assert "line 1" in rows.json()["error"]["message"]
    assert code_of(other_purpose) == (400, "invalid_field", "purpose")
    assert code_of(no_file) == (400, "invalid_field", "file")
    assert code_of(no_purpose) == (400, "invalid_field", "purpose")
    assert code_of(short) == (400, "invalid_field", "expires_after[seconds]")
    assert player.get("/v1/files")["data"] == []


def test_a_completed_upload_in_parts_is_a_file(player: Player) -> None:
    new = {"filename": "a.jsonl", "bytes": len(CONTENT), "purpose": "fine-tune", "mime_type": ""}
    upload = player.client.post("/v1/uploads", json=new).json()["id"]
    part = player.client.post(f"/v1/uploads/{upload}/parts", files={"data": CONTENT}).json()["id"]
    completed = player.client.post(f"/v1/uploads/{upload}/complete", json={"part_ids": [part]})

    file = completed.json()["file"]
    assert player.get(f"/v1/files/{file['id']}") == file
    assert player.get("/v1/files")["data"] == [file]
    player.client.delete(f"/v1/files/{file['id']}").raise_for_status()
    assert player.get(f"/v1/uploads/{upload}")["file"] is None


def _lifetime(seconds: str) -> dict[str, Any]:
    return {"expires_after[anchor]": "created_at", "expires_after[seconds]": seconds}


def _alpaca(rows: int) -> list[str]:
    return [json.dumps({"instruction": f"{n}", "output": f"a{n}"}) for n in range(rows)]


def test_a_file_can_be_uploaded_while_another_client_deletes_the_last_one_with_the_same_bytes(
    player: Player,
) -> None:
    def upload_and_delete(_: int) -> list[int]:
        uploaded = post(player)
        if not uploaded.is_success:
            return [uploaded.status_code]
        path = f"/v1/files/{uploaded.json()['id']}"
        return [uploaded.status_code, player.client.delete(path).status_code]

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(upload_and_delete, range(40)))

    assert found == [[200, 200]] * 40
    assert player.get("/v1/datasets")["data"] == []
