"""Queue positions, and the choice of the queued job that a worker claims."""

import itertools
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from app.db.engine import Database
from app.jobs.queue import order as queue
from contracts.job import JobStatus
from tests.app.jobs.listed_jobs import NOW, insert, make_jobs
from tests.app.player import Player


def test_a_queued_job_shows_whether_a_worker_of_its_queue_is_online(player: Player) -> None:
    served, unserved = player.submit(queue="a"), player.submit(queue="b")
    player.hello(queue="a")

    assert player.job(served)["waiting"] is None
    assert player.job(unserved)["waiting"]["code"] == "no_worker"
    codes = [(job["waiting"] or {}).get("code") for job in player.get("/v1/jobs")["data"]]
    assert codes == ["no_worker", None]
    player.client.post(f"/v1/jobs/{unserved}/cancel")
    assert player.job(unserved)["waiting"] is None


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
