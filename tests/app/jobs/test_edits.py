"""Edits of a submitted job: name, labels, notes, archived, and the priority while the job is queued."""

from typing import Any

import pytest
from httpx2 import Response

from tests.app.player import Player


def edit(player: Player, job: str, if_match: str | None = None, **changes: Any) -> Response:
    headers = {} if if_match is None else {"If-Match": if_match}
    return player.client.patch(f"/v1/jobs/{job}", json=changes, headers=headers)


def edited(player: Player, job: str, **changes: Any) -> Any:
    response = edit(player, job, **changes)
    assert response.status_code == 200, response.text
    assert response.json() == player.job(job)
    return response.json()


def error_of(response: Response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["param"]


def messages(player: Player, job: str, language: str = "en") -> list[str]:
    url = f"/v1/jobs/{job}/events"
    found = player.client.get(url, headers={"Accept-Language": language}).json()["data"]
    return [event["message"] for event in found]


def found(player: Player, **query: Any) -> list[str]:
    return [job["id"] for job in player.get("/v1/jobs", **query)["data"]]


def cancelled(player: Player, **spec: Any) -> str:
    job = player.submit(**spec)
    assert player.client.post(f"/v1/jobs/{job}/cancel").status_code == 200
    return job


def test_an_edit_changes_the_job_and_its_place_in_searches_but_not_its_spec(player: Player) -> None:
    labels = {"team": "web", "stage": "1"}
    job = player.submit(name="draft", labels=labels, priority=3)
    submitted = player.job(job)

    seen = edited(
        player,
        job,
        name="  微调 A ",
        labels={"stage": "2", "team": None, "owner": "li"},
        notes="first line\r\nsecond",
    )

    assert seen["name"] == "微调 A"
    assert seen["labels"] == {"stage": "2", "owner": "li"}
    assert seen["notes"] == "first line\nsecond"
    assert seen["version"] > submitted["version"]
    assert seen["spec"] == submitted["spec"]
    assert seen["priority"] == 3
    assert found(player, search="微调") == found(player, label="owner:li") == [job]
    assert found(player, search="draft") == found(player, label="team:web") == []
    assert messages(player, job)[-1] == "Job edited: name, labels, notes."
    assert messages(player, job, "zh")[-1] == "任务信息已修改：名称、标签、备注。"
    assert edited(player, job, name=None, notes="")["name"] is None
    assert player.job(job)["notes"] is None


def test_an_edit_without_a_change_changes_no_field_and_records_no_event(player: Player) -> None:
    job = player.submit(name="same", labels={"a": "b"})
    before, events = player.job(job), messages(player, job)

    edited(player, job)
    edited(player, job, name="same", labels={"a": "b"}, notes=None, archived=False, priority=0)

    assert (player.job(job), messages(player, job)) == (before, events)


def test_an_edit_of_an_outdated_version_is_rejected(player: Player) -> None:
    job = player.submit(name="one")
    tag = player.client.get(f"/v1/jobs/{job}").headers["etag"]
    after = edit(player, job, tag, name="two").headers["etag"]

    outdated = edit(player, job, tag, name="three")

    assert error_of(outdated) == (412, "edit_conflict", "If-Match")
    assert player.job(job)["name"] == "two"
    assert after == player.client.get(f"/v1/jobs/{job}").headers["etag"]
    assert edit(player, job, f'"other", W/{after}', name="four").status_code == 200
    assert edit(player, job, "*", name="four again").status_code == 200
    assert edit(player, job, name="five").status_code == 200, (
        "without If-Match, every edit is applied"
    )


def test_progress_of_a_running_job_does_not_conflict_with_an_edit(player: Player) -> None:
    job = player.submit()
    tag = player.client.get(f"/v1/jobs/{job}").headers["etag"]
    player.claim()
    assert player.client.get(f"/v1/jobs/{job}").headers["etag"] != tag

    assert edit(player, job, tag, name="running").status_code == 200
    assert edit(player, job, f"W/{tag}", name="again").status_code == 412


def test_the_priority_changes_the_place_in_the_queue_until_the_job_starts(player: Player) -> None:
    first, second = player.submit(), player.submit()
    assert player.job(second)["queue_position"] == 2

    assert edited(player, second, priority=7)["queue_position"] == 1

    assert messages(player, second)[-1] == "Priority changed from 0 to 7."
    assert player.claim().job_id == second
    refused = edit(player, second, priority=0, name="not stored")
    assert error_of(refused) == (409, "job_not_queued", "priority")
    assert player.job(second)["name"] is None
    assert edited(player, second, priority=7, name="stored")["name"] == "stored"
    assert player.job(second)["spec"]["priority"] == 0
    assert player.job(first)["queue_position"] == 1


def test_lists_omit_an_archived_job_until_it_is_restored_or_retried(player: Player) -> None:
    kept, job = player.submit(), cancelled(player, name="old", labels={"team": "web"})
    for query in ({}, {"search": "old"}, {"label": "team:web"}, {"status": "cancelled"}):
        assert job in found(player, **query)

    assert edited(player, job, archived=True)["archived"] is True

    for query in ({}, {"search": "old"}, {"label": "team:web"}, {"status": "cancelled"}):
        assert job not in found(player, **query)
        assert found(player, archived="true", **query) == [job]
        assert job in found(player, archived="any", **query)
    assert found(player) == [kept]
    assert edited(player, job, archived=False)["archived"] is False
    assert found(player) == [job, kept]
    edited(player, job, archived=True)
    assert player.client.post(f"/v1/jobs/{job}/retry").json()["archived"] is False
    assert found(player, label="team:web") == [job]
    assert messages(player, job).count("Job archived.") == 2


def test_only_a_job_that_has_ended_can_be_archived(player: Player) -> None:
    job = player.submit()

    assert error_of(edit(player, job, archived=True)) == (409, "job_not_ended", "archived")
    player.claim()
    assert error_of(edit(player, job, archived=True)) == (409, "job_not_ended", "archived")
    assert found(player) == [job]


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"name": "x" * 201}, "invalid_field", "name"),
        ({"nmae": "x"}, "invalid_field", "nmae"),
        ({"name": "a\u202eb"}, "unsafe_character", "name"),
        ({"notes": "a\x1b[31m"}, "unsafe_character", "notes"),
        ({"notes": "x" * 10_001}, "invalid_field", "notes"),
        ({"labels": {"": "x"}}, "invalid_field", "labels"),
        ({"labels": {"k": "\u2066"}}, "unsafe_character", "labels.k"),
        ({"labels": {f"k{n}": "v" for n in range(16)}}, "too_many_labels", "labels"),
        ({"priority": 1001}, "invalid_field", "priority"),
        ({"priority": None}, "invalid_field", "priority"),
        ({"archived": "yes"}, "invalid_field", "archived"),
    ],
)
def test_an_invalid_edit_names_its_field_and_changes_nothing(
    player: Player, changes: dict[str, Any], code: str, param: str
) -> None:
    job = player.submit(labels={"one": "1"})
    before = player.job(job)

    status, found_code, found_param = error_of(edit(player, job, **changes))

    assert (status, found_code) == (400, code)
    assert str(found_param).startswith(param)
    assert player.job(job) == before


def test_a_missing_job_cannot_be_edited(player: Player) -> None:
    for job in ("job_" + "0" * 24, "nothing"):
        assert error_of(edit(player, job, name="x")) == (404, "job_not_found", None)
