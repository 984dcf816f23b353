"""Filtered job lists, read page by page, contain exactly the jobs that match, whatever their creation times."""

import random
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.db.engine import Database
from app.db.tables import JobText
from app.http.paging import encode_cursor
from app.jobs.listing import lists
from app.jobs.listing.cursors import encode_place
from app.jobs.listing.walks import QUEUED_SECTION, Place
from app.jobs.schemas import JobSort
from contracts.job import JobStatus
from tests.app.jobs.listed_jobs import NOW, choose, fits, in_order, insert, make_jobs, pages
from tests.app.player import Player


@pytest.mark.parametrize("most_searched", [23, pytest.param(1000, marks=pytest.mark.slow)])
def test_filters_find_exactly_the_jobs_that_match(
    player: Player, database: Database, monkeypatch: pytest.MonkeyPatch, most_searched: int
) -> None:
    monkeypatch.setattr(lists, "MOST_SEARCHED", most_searched)
    jobs = make_jobs(150)
    insert(database, jobs)
    rng = random.Random(most_searched)  # noqa: S311  # the same filters in each run

    for sort in [*list(JobSort), *list(JobSort), *20 * ["-created_at"]]:
        chosen, limit = choose(rng, jobs) | {"sort": str(sort)}, rng.choice((9, 20, 100))
        expected = [job["id"] for job in in_order(jobs, sort) if fits(job, chosen)]

        read = list(pages(player, chosen, limit))

        assert [job["id"] for page in read for job in page["data"]] == expected, chosen
        for page in read:
            assert len(page["data"]) == limit or page["searched"] or not page["has_more"], chosen
            assert (page["searched"] or 0) <= most_searched


def test_names_are_listed_for_the_same_filters_and_orders(
    player: Player, database: Database
) -> None:
    jobs = make_jobs(60)
    insert(database, jobs)
    chosen = {"archived": "any", "sort": "-name"}
    listed = [job for page in pages(player, chosen, 100) for job in page["data"]]
    renamed = listed[3]["id"]
    player.client.patch(f"/v1/jobs/{renamed}", json={"name": "edited"}).raise_for_status()
    listed = player.get("/v1/jobs", **chosen, limit=100)["data"]

    first = player.get("/v1/job-names", **chosen, limit=40)
    rest = player.get("/v1/job-names", **chosen, cursor=first["cursor"])

    assert len(first["data"]) == 40
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert [*first["data"], *rest["data"]] == [
        {"id": job["id"], "name": job["name"]} for job in listed
    ]
    assert "edited" in [job["name"] for job in listed]
    refused = player.client.get("/v1/job-names", params={"limit": 1001})
    assert refused.json()["error"]["param"] == "limit"


@pytest.mark.parametrize("sort", list(JobSort))
def test_a_list_in_each_order_continues_after_the_last_job_of_a_page(
    player: Player, database: Database, sort: JobSort
) -> None:
    jobs = make_jobs(60)
    insert(database, jobs)
    read = list(pages(player, {"sort": sort.value, "archived": "any"}, 7))

    assert [job["id"] for page in read for job in page["data"]] == [
        job["id"] for job in in_order(jobs, sort.value)
    ]
    assert {page["searched"] for page in read} == {None}, "an index covers each order"
    for other in set(JobSort) - {sort}:
        query = {"sort": other.value, "cursor": read[0]["cursor"]}
        refused = player.client.get("/v1/jobs", params=query)
        assert refused.json()["error"]["code"] == "bad_cursor", other


def test_counts_are_exact_up_to_the_limit(
    player: Player, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "MOST_COUNTED", 12)
    jobs = make_jobs(150)
    insert(database, jobs)
    rng = random.Random(1)  # noqa: S311  # the same filters in each run

    for chosen in (
        {"archived": "false"},
        {"archived": "any"},
        *[choose(rng, jobs) for _ in range(9)],
    ):
        for timed in ("created_after", "created_before", "status"):
            chosen.pop(timed, None)
        query = {name: value for name, value in chosen.items() if not name.startswith("label")}
        query["label"] = [":".join(pair) for pair in chosen.get("label", ())]
        query["label"] += [chosen["label_key"]] if "label_key" in chosen else []

        counts = player.get("/v1/jobs", **query, limit=1, counts=True)["counts"]

        for status, found in counts["statuses"].items():
            expected = sum(fits(job, chosen | {"status": [status]}) for job in jobs)
            assert found["count"] == expected if found["is_exact"] else found["count"] <= expected
            if not {"search", "label", "label_key"} & set(chosen):
                assert found == {"count": min(12, expected), "is_exact": expected <= 12}
        archived = sum(fits(job, chosen | {"archived": "true"}) for job in jobs)
        assert counts["archived"]["count"] <= archived


def test_a_job_must_have_all_labels_so_two_values_of_one_key_match_none(player: Player) -> None:
    first, _ = player.submit(labels={"team": "a"}), player.submit(labels={"team": "b"})

    def found(*label: str, **query: object) -> list[str]:
        page = player.get("/v1/jobs", label=label, counts=True, **query)
        assert page["counts"]["statuses"]["queued"]["count"] == len(page["data"])
        return [job["id"] for job in page["data"]]

    assert found("team:a", "team:a") == [first]
    for sort in (JobSort.NEWEST, JobSort.STATUS, JobSort.NAME):
        assert found("team:a", "team:b", sort=sort) == found("team:b", "team:a", sort=sort) == []


@pytest.mark.parametrize("label", ["", ":", ":web"])
def test_a_label_filter_without_a_key_is_rejected(player: Player, label: str) -> None:
    response = player.client.get("/v1/jobs", params={"label": label})

    assert (response.status_code, response.json()["error"]["param"]) == (400, "label")


def test_a_search_reports_how_many_jobs_it_searched(
    player: Player, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "MOST_SEARCHED", 50)
    jobs = make_jobs(120, name="other", status=JobStatus.QUEUED, archived=False)
    jobs[10] |= {"name": "Needle", "created_at": NOW - timedelta(seconds=60)}
    insert(database, jobs)

    read = list(pages(player, {"search": "needle"}, 20))

    assert [page["searched"] for page in read] == [50, 50, 20]
    assert [[job["id"] for job in page["data"]] for page in read] == [[], [], [jobs[10]["id"]]]
    assert [page["has_more"] for page in read] == [True, True, False]
    assert player.get("/v1/jobs", status="queued")["searched"] is None, (
        "an index covers this filter"
    )


@pytest.mark.parametrize(("jobs", "left"), [(49, False), (50, False), (51, True)])
def test_a_search_reports_whether_it_reached_the_last_job(
    player: Player, database: Database, monkeypatch: pytest.MonkeyPatch, jobs: int, left: bool
) -> None:
    monkeypatch.setattr(lists, "MOST_SEARCHED", 50)
    insert(database, make_jobs(jobs, archived=False))

    for chosen in ({}, {"status": list(JobStatus)}):
        page = player.get("/v1/jobs", search="not there", **chosen)
        assert (page["has_more"], page["searched"]) == (left, min(jobs, 50))


def test_a_full_job_id_is_found_however_old_the_job_is(
    player: Player, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "MOST_SEARCHED", 10)
    jobs = make_jobs(60, labels={"team": "x"}, status=JobStatus.FAILED, archived=False)
    insert(database, jobs)
    oldest = min(jobs, key=lambda job: job["created_at"])["id"]

    def found(**query: object) -> list[str]:
        return [job["id"] for job in player.get("/v1/jobs", search=oldest.upper(), **query)["data"]]

    assert found() == found(label="team:x", status="failed") == [oldest]
    assert found(status="queued") == found(label="team:y") == []


def test_a_cursor_from_an_earlier_version_still_works(player: Player) -> None:
    ids = [player.submit() for _ in range(3)]
    assert player.client.delete(f"/v1/jobs/{ids[1]}").status_code == 200

    after_third = player.get("/v1/jobs", cursor=encode_cursor(3))
    after_the_deleted = player.get("/v1/jobs", cursor=encode_cursor(2))

    assert [job["id"] for job in after_third["data"]] == [ids[0]]
    assert [job["id"] for job in after_the_deleted["data"]] == [ids[0]]
    # In lists by status, the key of a queued job was its time.
    by_status = encode_place(Place(NOW, 1, QUEUED_SECTION), JobSort.STATUS)
    from_the_first = player.get("/v1/jobs", cursor=by_status, sort="status")["data"]
    assert [job["id"] for job in from_the_first] == [ids[0], ids[2]]
    assert player.client.delete(f"/v1/jobs/{ids[0]}").status_code == 200
    assert player.get("/v1/jobs", cursor=encode_cursor(2))["data"] == [], (
        "the list must not start over"
    )


@pytest.mark.parametrize("numbers", [(2**62, 1), (1, 2, 3)])
def test_an_invalid_cursor_is_rejected(player: Player, numbers: tuple[int, ...]) -> None:
    response = player.client.get("/v1/jobs", params={"cursor": encode_cursor(*numbers)})

    assert response.status_code == 400
    assert response.json()["error"]["param"] == "cursor"


def test_deleting_a_job_removes_its_search_text(player: Player, database: Database) -> None:
    job = player.submit(name="gone soon", labels={"team": "x"})
    assert player.client.delete(f"/v1/jobs/{job}").status_code == 200

    assert player.get("/v1/jobs", search="gone")["data"] == []
    with database.reading() as session:
        assert session.scalars(select(JobText.number)).all() == []
