"""The assignment of jobs to workers, and the content of a claim."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from sqlalchemy import func, select

from app.db.engine import Database, database_now
from app.db.tables import Attempt, Job
from contracts.attempt import AttemptStatus, Claim
from contracts.protocol.wire import CLAIM_PATH, DATASET_PATH, HELLO_PATH, SHA256_HEADER
from tests.app.player import WORKER, Player
from tests.factories import make_metric


def test_a_claim_contains_everything_that_a_worker_needs(
    player: Player, database: Database
) -> None:
    train, held_out = player.upload(12), player.upload(4, "e")
    job = player.submit(dataset={"train": train, "eval": held_out})

    claim = player.claim()

    assert (claim.job_id, claim.number) == (job, 1)
    assert claim.spec.dataset.train == train
    assert claim.train.rows == 12  # type: ignore[union-attr]  # uploaded, not from the hub
    assert claim.eval is not None
    assert (claim.lease_seconds, claim.sync_seconds, claim.flush_seconds) == (45, 10, 0.5)
    with database.reading() as session:
        stored = session.scalars(select(Attempt)).one()
    assert claim.token not in stored.token_sha256
    seen = player.job(job)
    assert (seen["status"], seen["phase"], seen["attempt"]) == ("running", "placing", 1)
    assert seen["started_at"] is not None
    assert claim.submitted_at == datetime.fromisoformat(seen["created_at"])


def test_only_the_worker_token_grants_access(player: Player) -> None:
    for path, body in (
        (CLAIM_PATH, {"worker": {"worker_id": "w"}}),
        (HELLO_PATH, {"worker_id": "w"}),
    ):
        for header in ("", "Bearer wrong", "Basic abc", "Bearer ", "Bearer \xff\xfe"):
            headers = [(b"Authorization", header.encode("latin-1"))] if header else []
            response = player.client.post(path, json=body, headers=headers)
            assert response.status_code == 401
            assert response.json()["error"]["code"] == "invalid_token"
            assert response.headers["www-authenticate"] == "Bearer"


def test_a_job_goes_to_a_worker_that_has_its_model(player: Player) -> None:
    job = player.submit(model="rare")
    player.hello(worker_id="has-it", models=["rare"])

    assert player.post_claim(worker_id="lacks-it", models=["common"]).status_code == 204
    assert player.claim(worker_id="has-it", models=["rare"]).job_id == job


def test_a_job_whose_model_is_on_no_worker_is_claimed_and_fails_with_a_reason(
    player: Player,
) -> None:
    job = player.submit(model="nowhere")

    assert player.claim(worker_id="lacks-it", models=["common"]).job_id == job


def test_a_worker_without_the_hub_skips_jobs_whose_model_another_worker_can_download(
    player: Player,
) -> None:
    player.submit(model="on-the-hub")
    player.hello(worker_id="online", models=None)

    assert player.post_claim(worker_id="offline", models=["common"]).status_code == 204
    assert player.post_claim(worker_id="online", models=None).status_code == 200


def test_a_dataset_can_be_downloaded_only_by_an_attempt_that_uses_it(player: Player) -> None:
    used, other = player.upload(3), player.upload(3, "other")
    player.submit(dataset={"train": used})
    claim = player.claim()

    def download(dataset: str, token: str) -> tuple[int, bytes, str | None]:
        path = DATASET_PATH.format(attempt_id=claim.attempt_id, dataset_id=dataset)
        response = player.client.get(path, headers={"Authorization": f"Bearer {token}"})
        return response.status_code, response.content, response.headers.get(SHA256_HEADER)

    status, content, sha256 = download(used, claim.token)
    assert status == 200
    assert len(content.splitlines()) == 3
    assert sha256 == claim.train.sha256  # type: ignore[union-attr]  # uploaded, not from the hub
    assert download(other, claim.token)[0] == 404
    assert download(used, "wrong")[0] == 401


@pytest.mark.parametrize("field", ["host", "queue", "models"])
def test_an_unpaired_surrogate_is_rejected_as_an_invalid_body(player: Player, field: str) -> None:
    value = ["\ud800"] if field == "models" else "\ud800"
    body = json.dumps({"worker_id": "w", field: value})

    response = player.client.post(HELLO_PATH, content=body, headers=WORKER)

    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_body")


def test_concurrent_workers_claim_each_job_once(player: Player, database: Database) -> None:
    jobs, workers = 200, 4
    with database.writing() as session:
        now = database_now(session)
        spec = make_spec_json()
        session.add_all(
            Job(
                id=f"job_{n:024d}",
                status="queued",
                spec=spec,
                model="m",
                queue="default",
                priority=n % 3,
                created_at=now,
            )
            for n in range(jobs)
        )

    def take_all(worker_id: str) -> list[Claim]:
        taken = []
        while (response := player.post_claim(worker_id=worker_id)).status_code == 200:
            taken.append(Claim.model_validate_json(response.content))
        assert response.status_code == 204
        return taken

    with ThreadPoolExecutor(workers) as pool:
        taken = [claim for claims in pool.map(take_all, "abcd") for claim in claims]

    assert len(taken) == jobs
    assert len({claim.job_id for claim in taken}) == jobs
    with database.reading() as session:
        running = session.scalar(
            select(func.count()).where(Attempt.status == AttemptStatus.RUNNING)
        )
    assert running == jobs


def make_spec_json() -> dict[str, object]:
    return {"model": "m", "dataset": {"train": {"hub": "someone/data"}}}


def test_repeating_a_claim_whose_response_was_lost_returns_the_same_attempt(player: Player) -> None:
    job, other = player.submit(), player.submit()

    claims = [Claim.model_validate_json(player.post_claim("c1").content) for _ in range(3)]
    assert len({(claim.attempt_id, claim.token) for claim in claims}) == 1
    assert claims[0].job_id == job
    player.sync(claims[0], make_metric(1))

    # A copy of the request may also arrive late. The running attempt continues.
    assert Claim.model_validate_json(player.post_claim("c1").content) == claims[0]
    player.sync(claims[0], make_metric(2))
    second = Claim.model_validate_json(player.post_claim("c2").content)
    assert (second.job_id, second.number) == (other, 1)
    assert second.token != claims[0].token
