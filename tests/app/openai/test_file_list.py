"""The list of files: uploaded files and those that jobs have written, in one order, whatever the page size."""

from typing import Any

import pytest
from sqlalchemy import func, select, update

from app.db.engine import Database, database_now
from app.db.openai_tables import File, ResultFile
from app.db.tables import Job
from app.openai.files import listing
from app.openai.files.written import measure
from tests.app.openai.test_events import path_of
from tests.app.openai.test_files import code_of, create
from tests.app.player import Player


def finish_job(player: Player) -> str:
    job_id = player.submit()
    player.succeed(player.claim())
    return job_id


def read_all(player: Player, limit: int, **query: Any) -> list[Any]:
    found: list[Any] = []
    for _ in range(100):
        page = player.get("/v1/files", limit=limit, **query)
        found += page["data"]
        if not page["has_more"]:
            return found
        assert page["data"], "a client stops at an empty page"
        query["after"] = page["last_id"]
    raise AssertionError("the list does not end")


def test_uploaded_and_written_files_form_one_list_whatever_the_page_size(
    player: Player, database: Database
) -> None:
    order: list[str] = []
    for round_ in range(3):
        order.append(create(player, name=f"{round_}.jsonl")["id"])
        digits = finish_job(player)[4:]
        order += [f"file-results{digits}", f"file-adapter{digits}"]
    player.submit()  # not finished

    for is_simultaneous in (False, True):
        if is_simultaneous:
            with database.writing() as session:
                now = database_now(session)
                session.execute(update(File).values(created_at=now))
                session.execute(update(Job).values(ended_at=now))
        whole = player.get("/v1/files")["data"]
        ids = [file["id"] for file in whole]
        assert ids == order[::-1] if not is_simultaneous else sorted(ids) == sorted(order)
        assert player.get("/v1/files", order="asc")["data"] == whole[::-1]
        for limit in (1, 2, 4):
            assert read_all(player, limit) == whole
            assert read_all(player, limit, order="asc") == whole[::-1]
            for purpose in ("fine-tune", "fine-tune-results"):
                of_purpose = [file for file in whole if file["purpose"] == purpose]
                assert read_all(player, limit, purpose=purpose) == of_purpose
    for file in whole:
        assert player.get(f"/v1/files/{file['id']}") == file
        content = player.client.get(f"/v1/files/{file['id']}/content").content
        assert len(content) == file["bytes"]


def test_a_page_ends_early_rather_than_measuring_many_result_files(
    player: Player, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_MEASURED", 1)
    for _ in range(3):
        finish_job(player)

    first = player.get("/v1/files")
    assert (len(first["data"]), first["has_more"]) == (3, True), "one result file and two adapters"
    assert len(read_all(player, 100, after=first["last_id"])) == 3
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(ResultFile)) == 3
    assert len(player.get("/v1/files")["data"]) == 6, "their sizes are known now"


def test_files_of_archived_jobs_and_deleted_adapters_are_not_listed(player: Player) -> None:
    archived, kept = finish_job(player), finish_job(player)
    player.client.patch(f"/v1/jobs/{archived}", json={"archived": True}).raise_for_status()
    model = player.get(path_of(kept))["fine_tuned_model"]
    player.client.delete(f"/v1/models/{model}").raise_for_status()

    assert [file["id"] for file in player.get("/v1/files")["data"]] == [f"file-results{kept[4:]}"]
    assert player.get("/v1/files", after=f"file-adapter{kept[4:]}")["has_more"] is False


def test_a_list_continues_only_after_a_file_that_can_be_listed(player: Player) -> None:
    queued = player.submit()[4:]
    for after in (f"file-results{queued}", f"file-adapter{'0' * 24}", f"file-checkpoint{queued}"):
        rejected = player.client.get("/v1/files", params={"after": after})
        assert code_of(rejected) == (400, "bad_cursor", "after")


def test_the_result_file_of_a_job_that_is_being_deleted_is_only_its_header(
    database: Database,
) -> None:
    header = "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n"
    assert measure(database, "job_deleted") == len(header)
