import time
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import func, select, update

from app.db.engine import Database, database_now
from app.db.tables import IdempotencyKey, Job
from app.jobs.requests.idempotency import KEPT, forget_old_keys
from contracts.job import JobSpec
from tests.app.player import Player
from tests.factories import make_metric, make_spec


def test_a_submitted_job_is_returned_in_full_and_is_available_at_its_location(
    player: Player,
) -> None:
    dataset = player.upload(50)

    response = player.post_job(dataset={"train": dataset}, name="first", labels={"team": "nlp"})

    job = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    assert player.job(job["id"]) == job
    assert job["status"] == "queued"
    assert job["queue_position"] == 1
    assert job["labels"] == {"team": "nlp"}
    expected = make_spec(dataset={"train": dataset}, name="first", labels={"team": "nlp"})
    assert JobSpec.model_validate(job["spec"]) == expected


def test_a_dry_run_returns_the_plan_and_stores_nothing(player: Player) -> None:
    dataset = player.upload(100)
    body = {"model": "m", "dataset": {"train": dataset}, "training": {"epochs": 3}}

    response = player.client.post("/v1/jobs?dry_run=true", json=body)

    plan = response.json()
    assert response.status_code == 200
    assert plan["valid"] is True
    assert (plan["train_rows"], plan["eval_rows"], plan["steps"]) == (98, 2, 21)
    assert plan["spec"]["lora"]["rank"] == 64
    assert plan["evaluation"] == {
        "rows": 2,
        "evaluations": 2,
        "row_passes": 4,
        "training_row_passes": 294,
        "share": 4 / 298,
    }
    assert player.get("/v1/jobs")["data"] == []


def test_a_plan_counts_the_rows_of_an_evaluation_dataset(player: Player) -> None:
    body = {"model": "m", "dataset": {"train": player.upload(32), "eval": player.upload(7, "e")}}

    plan = player.client.post("/v1/jobs?dry_run=true", json=body).json()

    assert (plan["train_rows"], plan["eval_rows"], plan["steps"]) == (32, 7, 2)
    assert plan["evaluation"]["row_passes"] == 14


def test_rows_of_a_hub_dataset_are_not_counted(player: Player) -> None:
    body = {"model": "m", "dataset": {"train": {"hub": "someone/data"}}}

    plan = player.client.post("/v1/jobs?dry_run=true", json=body).json()

    assert (plan["train_rows"], plan["eval_rows"], plan["steps"]) == (None, None, None)
    assert plan["evaluation"] is None


def test_a_dataset_that_cannot_be_trained_on_is_rejected_and_its_field_is_named(
    player: Player,
) -> None:
    dataset = player.upload(10)
    for spec, param, code in (
        ({"train": "ds_" + "0" * 24}, "dataset.train", "dataset_not_found"),
        ({"train": dataset, "eval": "ds_" + "0" * 24}, "dataset.eval", "dataset_not_found"),
        ({"train": dataset, "eval_size": 10}, "dataset.eval_size", "no_training_rows"),
        ({"train": dataset, "eval_size": 10**9}, "dataset.eval_size", "no_training_rows"),
        ({"train": dataset, "eval_size": 10**40}, "dataset.eval_size", "invalid_field"),
        ({"train": "my-file"}, "dataset.train", "invalid_field"),
        ({"train": {"hub": "../x"}}, "dataset.train.hub", "invalid_field"),
    ):
        response = player.post_job(dataset=spec)
        error = response.json()["error"]
        assert (response.status_code, error["param"], error["code"]) == (400, param, code)


def test_a_model_that_no_live_worker_has_is_rejected(player: Player) -> None:
    assert player.post_job(model="unknown").status_code == 201, (
        "with no workers, model availability is unknown"
    )

    player.hello(models=["tiny-qwen2", "other"])
    refused = player.post_job(model="unknown")
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "model"
    assert "other, tiny-qwen2" in refused.json()["error"]["hint"]
    assert player.post_job(model="tiny-qwen2").status_code == 201
    assert player.post_job(model="unknown", queue="elsewhere").status_code == 201

    player.hello(worker_id="worker-2", models=None)
    assert player.post_job(model="unknown").status_code == 201, (
        "this worker can download from the hub"
    )


def test_the_same_idempotency_key_and_body_create_one_job(player: Player) -> None:
    dataset = {"train": player.upload()}
    key = {"Idempotency-Key": "abc"}

    first = player.post_job(key, dataset=dataset)
    again = player.post_job(key, dataset=dataset)
    other = player.post_job(key, dataset=dataset, name="other")

    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert again.headers["location"] == first.headers["location"]
    assert other.status_code == 409
    assert other.json()["error"]["code"] == "idempotency_conflict"
    assert first.json()["id"] in other.json()["error"]["message"]
    assert len(player.get("/v1/jobs")["data"]) == 1


def test_an_idempotency_key_expires_after_a_day(player: Player, database: Database) -> None:
    dataset = {"train": player.upload()}
    first = player.post_job({"Idempotency-Key": "abc"}, dataset=dataset).json()
    with database.writing() as session:
        session.execute(update(IdempotencyKey).values(created_at=database_now(session) - KEPT))

    second = player.post_job({"Idempotency-Key": "abc"}, dataset=dataset).json()
    assert second["id"] != first["id"]

    with database.writing() as session:
        forget_old_keys(session, database_now(session) + KEPT)
        assert session.scalar(select(func.count()).select_from(IdempotencyKey)) == 0


def test_concurrent_submissions_with_the_same_idempotency_key_create_one_job(
    player: Player,
) -> None:
    dataset = {"train": player.upload()}

    with ThreadPoolExecutor(8) as pool:
        posts = [
            pool.submit(player.post_job, {"Idempotency-Key": "k"}, dataset=dataset)
            for _ in range(8)
        ]
    responses = [post.result() for post in posts]

    assert {response.status_code for response in responses} == {201}
    assert len({response.json()["id"] for response in responses}) == 1
    assert len(player.get("/v1/jobs")["data"]) == 1


def test_jobs_are_listed_in_pages_newest_first(player: Player) -> None:
    dataset = {"train": player.upload()}
    ids = [player.submit(dataset=dataset) for _ in range(5)]

    first = player.get("/v1/jobs", limit=2)
    second = player.get("/v1/jobs", limit=2, cursor=first["cursor"])
    player.submit(dataset=dataset)  # a new job does not shift the pages
    third = player.get("/v1/jobs", limit=2, cursor=second["cursor"])

    seen = [job["id"] for page in (first, second, third) for job in page["data"]]
    assert seen == ids[::-1]
    assert [page["has_more"] for page in (first, second, third)] == [True, True, False]
    assert first["object"] == "list"


def test_jobs_can_be_filtered_and_searched(player: Player) -> None:
    dataset = {"train": player.upload()}
    one = player.submit(
        dataset=dataset, name="Tickets 100%", labels={"team": "a", 'odd"key': "x:y"}
    )
    two = player.submit(dataset=dataset, labels={"team": "b"})
    player.client.post(f"/v1/jobs/{two}/cancel")
    created_at = player.job(two)["created_at"]

    def found(**query: object) -> list[str]:
        return [job["id"] for job in player.get("/v1/jobs", **query)["data"]]

    assert found(status="queued") == [one]
    assert found(status=["queued", "cancelled"]) == [two, one]
    assert found(label="team:b") == [two]
    assert found(label=["team:a", 'odd"key:x:y']) == [one]
    assert found(label=["team:a", "team:b"]) == []
    assert found(created_before=created_at) == [one]
    assert found(created_after=created_at) == []
    assert found(search="tickets 100%") == [one]
    assert found(search="100_") == found(search="nobody") == []
    assert found(search=two[-12:]) == [two]
    assert found(search="TINY-qwen") == [two, one]


def test_the_queue_is_ordered_by_priority_then_age(player: Player) -> None:
    dataset = {"train": player.upload()}
    low = player.submit(dataset=dataset, priority=-1)
    old = player.submit(dataset=dataset)
    young = player.submit(dataset=dataset)
    high = player.submit(dataset=dataset, priority=5)
    player.submit(dataset=dataset, queue="elsewhere")

    places = [player.job(job)["queue_position"] for job in (high, old, young, low)]
    claimed = [player.claim(worker_id=f"w{n}").job_id for n in range(4)]

    assert places == [1, 2, 3, 4]
    assert claimed == [high, old, young, low]
    assert player.job(high)["queue_position"] is None
    assert player.post_claim().status_code == 204


def test_cancelling_a_queued_job_takes_effect_immediately_and_can_be_repeated(
    player: Player,
) -> None:
    job = player.submit()

    responses = [player.client.post(f"/v1/jobs/{job}/cancel") for _ in range(2)]

    assert [response.status_code for response in responses] == [200, 200]
    assert {response.json()["status"] for response in responses} == {"cancelled"}
    assert player.job(job)["ended_at"] is not None
    assert player.post_claim().status_code == 204


def test_a_running_job_is_cancelled_once_its_attempt_has_ended(player: Player) -> None:
    job = player.submit()
    claim = player.claim()
    assert player.sync(claim).wanted == "continue"

    for _ in range(2):
        assert player.client.post(f"/v1/jobs/{job}/cancel").json()["status"] == "running"
    assert player.job(job)["cancel_requested_at"] is not None
    assert player.sync(claim).wanted == "cancel"

    assert player.finish(claim, "cancelled").json() == {"job_status": "cancelled"}
    assert player.job(job)["status"] == "cancelled"
    codes = [event["code"] for event in player.get(f"/v1/jobs/{job}/events")["data"]]
    assert codes.count("cancel_requested") == 1


def test_a_job_that_has_succeeded_cannot_be_cancelled(player: Player) -> None:
    job = player.submit()
    player.succeed(player.claim())

    response = player.client.post(f"/v1/jobs/{job}/cancel")

    assert response.status_code == 409
    assert response.json()["error"]["code"] == "job_already_ended"
    assert response.headers["x-should-retry"] == "false"


def test_an_unchanged_job_is_not_sent_again(player: Player) -> None:
    job = player.submit()
    first = player.client.get(f"/v1/jobs/{job}")
    etag = first.headers["etag"]

    same = player.client.get(f"/v1/jobs/{job}", headers={"If-None-Match": f'"x", W/{etag}'})
    assert (same.status_code, same.content) == (304, b"")

    player.claim()
    changed = player.client.get(f"/v1/jobs/{job}", headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


def test_a_long_poll_returns_at_the_next_change(player: Player) -> None:
    job = player.submit()
    claim = player.claim()
    held = {"If-None-Match": player.client.get(f"/v1/jobs/{job}").headers["etag"]}

    with ThreadPoolExecutor(1) as pool:
        polled = pool.submit(player.client.get, f"/v1/jobs/{job}?wait=20", headers=held)
        player.sync(claim, make_metric(1))
        assert polled.result(15).json()["progress"]["step"] == 1


def test_a_long_poll_returns_at_its_timeout_or_when_the_job_ends(player: Player) -> None:
    job = player.submit()

    began = time.monotonic()
    assert player.client.get(f"/v1/jobs/{job}?wait=0.3").status_code == 200
    assert 0.3 <= time.monotonic() - began < 5

    player.client.post(f"/v1/jobs/{job}/cancel")
    began = time.monotonic()
    assert player.client.get(f"/v1/jobs/{job}?wait=30").json()["status"] == "cancelled"
    assert time.monotonic() - began < 5


def test_a_rejected_submission_stores_nothing(player: Player, database: Database) -> None:
    refused = player.post_job({"Idempotency-Key": "k"}, dataset={"train": "ds_" + "0" * 24})

    assert refused.status_code == 400
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(IdempotencyKey)) == 0
        assert session.scalar(select(func.count()).select_from(Job)) == 0
