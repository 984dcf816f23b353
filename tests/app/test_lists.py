"""Filtered job lists, read page by page, contain exactly the jobs that match, whatever their creation times."""

import itertools
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, select

from app.db.engine import Database
from app.db.tables import Job, JobLabel, JobText, to_json
from app.http.paging import encode_cursor
from app.jobs import lists
from app.jobs.cursors import encode_place
from app.jobs.lists import sort_name_of, text_of
from app.jobs.queue import order as queue
from app.jobs.schemas import JobSort
from app.jobs.walks import QUEUED_SECTION, Place
from contracts.job import JobStatus
from tests.app.player import Player
from tests.factories import make_spec

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
NAMES = ("Größe 7B", "sweep 1", "sweep 12", "100% done", "a_b", "微调 客服", "ПРОБА", None, None)


def insert(database: Database, jobs: list[dict[str, Any]]) -> None:
    """Store jobs as a submission does, but with given times and statuses."""
    with database.writing() as session:
        for values in jobs:
            known = {
                name: values[name] for name in ("name", "labels", "queue", "priority", "model")
            }
            spec = make_spec(dataset={"train": {"hub": "a/b"}}, **known)
            job = Job(
                id=values["id"],
                status=values["status"],
                spec=to_json(spec),
                model=spec.model,
                queue=spec.queue,
                priority=spec.priority,
                created_at=values["created_at"],
                ended_at=values["ended_at"],
                eval_loss=values["eval_loss"],
                archived=values["archived"],
            )
            session.add(job)
            session.flush()
            name = spec.name or ""
            listed = {"number": job.number, "archived": job.archived}
            session.add(
                JobText(text=text_of(name, spec.model, job.id), name=sort_name_of(name), **listed)
            )
            place = listed | {"created_at": job.created_at}
            session.add_all(
                JobLabel(job_id=job.id, key=key, value=value, **place)
                for key, value in spec.labels.items()
            )


def make_jobs(count: int, seed: int = 0, **same: Any) -> list[dict[str, Any]]:
    """Return jobs in the order of their numbers; their creation times are out of order, and some are equal."""
    rng = random.Random(seed)  # noqa: S311  # the same jobs in each run
    return [
        {
            "id": f"job_{rng.getrandbits(96):024x}",
            "status": rng.choice(list(JobStatus)),
            "name": rng.choice(NAMES),
            "model": rng.choice(("qwen/small", "qwen/large", "Other_Model")),
            "queue": rng.choice(("a", "b")),
            "priority": rng.choice((0, 0, 0, 5, -5)),
            "labels": {
                key: rng.choice(("x", "y")) for key in ("team", "stage") if rng.random() < 0.6
            },
            "created_at": NOW + timedelta(seconds=n // 3 + rng.choice((0, 0, -40))),
            "ended_at": rng.choice((None, NOW + timedelta(seconds=rng.randrange(40)))),
            "eval_loss": rng.choice((None, rng.randrange(9) / 4)),
            "archived": rng.random() < 0.2,
        }
        | same
        for n in range(count)
    ]


def fits(job: dict[str, Any], chosen: dict[str, Any]) -> bool:
    text = "\n".join((job["name"] or "", job["model"], job["id"])).casefold()
    return (
        chosen.get("search", "").casefold() in text
        and job["status"] in chosen.get("status", list(JobStatus))
        and all(label in job["labels"].items() for label in chosen.get("label", ()))
        and chosen.get("label_key", "") in ("", *job["labels"])
        and (chosen["archived"] == "any" or job["archived"] == (chosen["archived"] == "true"))
        and ("created_after" not in chosen or job["created_at"] > chosen["created_after"])
        and ("created_before" not in chosen or job["created_at"] < chosen["created_before"])
    )


def choose(rng: random.Random, jobs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return randomly chosen filters."""
    one = rng.choice(jobs)
    part = rng.randrange(20)
    every = {
        "search": rng.choice(
            [
                "sweep 1",
                "QWEN",
                "größe",
                "проба",
                "微调",
                "0%",
                "_",
                one["id"][part : part + 6],
                "no",
            ]
        ),
        "status": rng.sample(list(JobStatus), rng.randint(1, 4)),
        "label": rng.sample([("team", "x"), ("stage", "y")], rng.randint(1, 2)),
        "label_key": rng.choice(("team", "stage")),
        "created_after": one["created_at"],
        "created_before": one["created_at"] + timedelta(seconds=rng.randint(0, 40)),
    }
    names = rng.sample(list(every), rng.choice((0, 1, 1, 1, 2, 2, 3)))
    archived = rng.choice(("false", "false", "true", "any"))
    return {name: every[name] for name in names} | {"archived": archived}


def in_order(jobs: list[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    """Return jobs, given in the order of their numbers, in the order of a list."""
    column, is_descending = sort.removeprefix("-"), sort.startswith("-")
    numbered = list(enumerate(jobs))
    if column == "status":
        groups = ["running", "queued", "paused"]
        newest = sorted(numbered, key=lambda each: (each[1]["created_at"], each[0]), reverse=True)
        claimed = sorted(numbered, key=lambda each: (-each[1]["priority"], each[0]))
        newest = [each for each in newest if each[1]["status"] != "queued"] + [
            each for each in claimed if each[1]["status"] == "queued"
        ]
        ranks = {status: n for n, status in enumerate(groups)}
        newest.sort(key=lambda each: ranks.get(each[1]["status"], 3))
        return [job for _, job in newest]
    keys = {
        number: job[column].casefold() if job[column] and column == "name" else job[column]
        for number, job in numbered
    }
    known = sorted((n for n in keys if keys[n] is not None), key=lambda n: (keys[n], n))
    unknown = sorted((n for n in keys if keys[n] is None), reverse=True)
    return [jobs[n] for n in (known[::-1] if is_descending else known) + unknown]


def pages(player: Player, chosen: dict[str, Any], limit: int) -> Iterator[dict[str, Any]]:
    query: dict[str, Any] = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in chosen.items()
    }
    query["label"] = [":".join(pair) for pair in query.get("label", ())]
    query["label"] += [query.pop("label_key")] if "label_key" in query else []
    cursor: dict[str, str] = {}
    while True:
        page = player.get("/v1/jobs", **query, **cursor, limit=limit)
        yield page
        if not page["has_more"]:
            return
        assert cursor != {"cursor": page["cursor"]}, "each page must move the cursor"
        cursor = {"cursor": page["cursor"]}


@pytest.mark.parametrize("most_searched", [23, 1000])
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


def test_the_number_of_statements_of_a_page_does_not_depend_on_the_number_of_queues(
    player: Player, database: Database
) -> None:
    statements: list[str] = []

    def count() -> int:
        statements.clear()
        jobs = player.get("/v1/jobs")["data"]
        assert [job["queue_position"] for job in jobs] == [1] * len(jobs)
        assert {job["waiting"]["code"] for job in jobs} == {"no_worker"}
        return len(statements)

    @event.listens_for(database.reader, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    player.submit(queue="a")
    one = count()
    for name in "bcde":
        player.submit(queue=name)

    assert count() == one


def test_a_queued_job_says_whether_a_worker_of_its_queue_is_online(player: Player) -> None:
    served, unserved = player.submit(queue="a"), player.submit(queue="b")
    player.hello(queue="a")

    assert player.job(served)["waiting"] is None
    assert player.job(unserved)["waiting"]["code"] == "no_worker"
    codes = [(job["waiting"] or {}).get("code") for job in player.get("/v1/jobs")["data"]]
    assert codes == ["no_worker", None]
    player.client.post(f"/v1/jobs/{unserved}/cancel")
    assert player.job(unserved)["waiting"] is None


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


def test_queue_positions_are_exact_up_to_1000_and_lower_bounds_beyond_that(
    player: Player, database: Database
) -> None:
    jobs = make_jobs(
        1005, queue="a", priority=0, status=JobStatus.QUEUED, labels={}, archived=False
    )
    for n, job in enumerate(jobs):
        job["created_at"] = NOW + timedelta(seconds=n)
    jobs[1004]["priority"] = 5  # the newest goes first
    insert(database, jobs)
    by_place = [jobs[1004], *jobs[:1004]]

    def seen(job: Any) -> tuple[int | None, int | None]:
        return job["queue_position"], job["queue_position_above"]

    for place in (1, 2, 500, 999, 1000):
        assert seen(player.job(by_place[place - 1]["id"])) == (place, None)
    for place in (1001, 1002, 1005):
        assert seen(player.job(by_place[place - 1]["id"])) == (None, 1000)
    page = player.get("/v1/jobs", limit=100, status="queued")["data"]
    places = {job["id"]: n + 1 for n, job in enumerate(by_place)}
    for job in page:
        place = places[job["id"]]
        assert seen(job) == ((place, None) if place <= 1000 else (None, 1000))
    assert seen(player.post_job(queue="a").json()) == (None, 1000)
    assert seen(player.post_job(queue="b").json()) == (1, None)
    last = player.job(by_place[-1]["id"])
    player.client.post(f"/v1/jobs/{by_place[0]['id']}/cancel")
    assert player.job(by_place[1000]["id"])["queue_position"] == 1000
    assert player.job(by_place[-1]["id"])["version"] == last["version"]
    assert seen(player.client.post(f"/v1/jobs/{by_place[3]['id']}/cancel").json()) == (None, None)


def test_a_list_shows_the_same_queue_positions_as_each_job(
    player: Player, database: Database
) -> None:
    insert(database, make_jobs(80))

    for job in player.get("/v1/jobs", limit=100)["data"]:
        assert player.job(job["id"])["queue_position"] == job["queue_position"]
        assert (job["queue_position"] is not None) is (job["status"] == "queued")


def test_a_worker_finds_jobs_for_its_model_behind_any_number_of_others(
    player: Player, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "MOST_PLACES", 5)
    same: dict[str, Any] = {"queue": "default", "status": JobStatus.QUEUED, "priority": 5}
    others = [make_jobs(8, seed=n, model=f"common-{n}", **same) for n in range(3)]
    insert(database, list(itertools.chain(*others)))
    low, high, last = (
        player.submit(model=m, priority=p) for m, p in (("b", 0), ("a", 1), ("a", -9))
    )

    player.hello(worker_id="can-download-any", models=None)
    claimed = [player.claim(worker_id=f"w{n}", models=["a", "b"]).job_id for n in range(3)]
    assert claimed == [high, low, last], (
        "it skips other models, because another worker can download them"
    )
    assert player.post_claim(worker_id="w3", models=["a", "b"]).status_code == 204


def test_a_worker_skips_jobs_whose_model_another_worker_has_but_claims_those_that_none_can_run(
    player: Player, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "MOST_PLACES", 5)
    common: dict[str, Any] = {
        "queue": "default",
        "model": "common",
        "priority": 5,
        "status": JobStatus.QUEUED,
    }
    insert(database, make_jobs(8, **common))
    mine, orphan = player.submit(model="mine"), player.submit(model="orphan")

    player.hello(worker_id="other", models=["common"])
    claimed = [player.claim(worker_id=f"w{n}", models=["mine"]).job_id for n in range(2)]
    assert claimed == [mine, orphan]
    assert player.post_claim(worker_id="w2", models=["mine"]).status_code == 204
    assert player.claim(worker_id="other", models=["common"]).spec.model == "common"


def test_deleting_a_job_removes_its_search_text(player: Player, database: Database) -> None:
    job = player.submit(name="gone soon", labels={"team": "x"})
    assert player.client.delete(f"/v1/jobs/{job}").status_code == 200

    assert player.get("/v1/jobs", search="gone")["data"] == []
    with database.reading() as session:
        assert session.scalars(select(JobText.number)).all() == []
