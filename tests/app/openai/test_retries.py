"""Retried creates: which requests return the job of an earlier one."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx2
from fastapi import FastAPI
from openai import OpenAI
from sqlalchemy import delete, func, select, update
from starlette.testclient import TestClient

from app.config.settings import Settings
from app.db.engine import Database, database_now
from app.db.openai_tables import CreateRequest
from app.main import create_app
from app.openai.jobs.creation import Options
from app.openai.jobs.retries import KEPT, OVERTAKEN, Submission, forget_old, note_request
from app.openai.jobs.service import submit_job
from app.openai.schemas.requests import NewFineTuningJob
from tests.app.openai.test_files import code_of
from tests.app.openai.test_files import create as create_file
from tests.app.openai.test_jobs import JOBS
from tests.app.player import BASE_URL, Player


def post(client: Any, file: str, retry: int | str | None, **fields: Any) -> str:
    headers = {} if retry is None else {"x-stainless-retry-count": str(retry)}
    body = {"model": "tiny-qwen2", "training_file": file} | fields
    response = client.post(JOBS, json=body, headers=headers)
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


def test_a_retry_returns_the_job_of_the_request_before_it(player: Player) -> None:
    file, client = create_file(player)["id"], player.client

    first, second = post(client, file, 0), post(client, file, 0)
    assert first != second, "a second request that is not a retry is another job"
    assert [post(client, file, n) for n in (1, 2)] == [second, second]
    assert post(client, file, 1) == first, "the retry of the other request"
    assert post(client, file, None) not in {first, second}
    other = post(client, file, 1, seed=7)
    assert other not in {first, second}, "the first request has not arrived"
    assert post(client, file, 2, seed=7) == other

    assert len(player.get(JOBS)["data"]) == 4


def test_a_first_request_that_its_retries_have_overtaken_creates_no_second_job(
    player: Player, database: Database
) -> None:
    file = create_file(player)["id"]

    retried = {post(player.client, file, n) for n in (2, 1)}
    first, second = post(player.client, file, 0), post(player.client, file, 0)
    assert retried == {first}
    assert second != first, "another call"

    late = post(player.client, file, 1, seed=7)
    with database.writing() as session:
        past = database_now(session) - OVERTAKEN
        session.execute(update(CreateRequest).values(seen_at=past))
    assert post(player.client, file, 0, seed=7) != late, "the retry was a while ago"


def test_a_first_request_that_has_waited_for_the_database_is_still_recognised(
    player: Player, database: Database
) -> None:
    late = post(player.client, create_file(player)["id"], 1)
    with database.writing() as session:
        digest = session.scalars(select(CreateRequest.digest)).one()
        now = database_now(session) + 2 * OVERTAKEN
        arrived = time.monotonic() - 2 * OVERTAKEN.total_seconds()

        noted = note_request(session, Submission(digest, 0, arrived), now)

    assert noted.job_id is not None
    assert late.removeprefix("ftjob-") in noted.job_id


def test_requests_with_all_numbers_at_once_create_one_job(
    player: Player, app: FastAPI, settings: Settings
) -> None:
    file = create_file(player)["id"]
    second_server = create_app(settings)
    clients = [player.client, TestClient(second_server, base_url=BASE_URL)]
    with ThreadPoolExecutor(3) as pool:
        posts = [
            pool.submit(post, clients[n % 2], file, retry) for n, retry in enumerate((2, 0, 1))
        ]
        created = {each.result() for each in posts}
    second_server.state.database.close()

    assert len(created) == 1


class LosesOneResponse(httpx2.BaseTransport):
    """Delivers each request, but not the first response."""

    def __init__(self, transport: httpx2.BaseTransport) -> None:
        self.transport = transport
        self.retries: list[str] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = self.transport.handle_request(request)
        self.retries.append(request.headers["x-stainless-retry-count"])
        if len(self.retries) == 1:
            response.read()  # the application waits until its response has been read
            response.close()
            raise httpx2.ReadTimeout("the response was lost", request=request)
        return response


def test_openais_client_gets_the_job_although_the_first_response_is_lost(player: Player) -> None:
    file = create_file(player)["id"]
    link = LosesOneResponse(player.client._transport)
    with OpenAI(
        base_url=f"{BASE_URL}/v1", api_key="any", http_client=httpx2.Client(transport=link)
    ) as client:
        job = client.fine_tuning.jobs.create(model="tiny-qwen2", training_file=file)

    assert link.retries == ["0", "1"]
    assert [each["id"] for each in player.get(JOBS)["data"]] == [job.id]


def test_a_retry_from_another_address_or_after_minutes_is_another_job(
    player: Player, app: FastAPI, database: Database
) -> None:
    file = create_file(player)["id"]
    first = post(player.client, file, 0)
    other = TestClient(app, base_url=BASE_URL, client=("192.0.2.7", 50000))
    assert post(other, file, 1) != first

    with database.writing() as session:
        past = database_now(session) - KEPT
        session.execute(update(CreateRequest).values(seen_at=past))
    assert post(player.client, file, 1) != first

    with database.writing() as session:
        forget_old(session, database_now(session) + timedelta(seconds=1))
        kept = session.scalars(select(CreateRequest.retry)).all()
    assert kept == [-1]


def test_a_retry_while_the_first_request_is_still_running_creates_the_only_job(
    player: Player, app: FastAPI, settings: Settings, database: Database
) -> None:
    file = create_file(player)["id"]
    body = NewFineTuningJob(model="tiny-qwen2", training_file=file)
    other = post(player.client, file, 0)
    with database.writing() as session:
        digest = session.scalars(select(CreateRequest.digest)).one()
        session.execute(delete(CreateRequest))
        noted = note_request(session, Submission(digest, 0), database_now(session))

    second_server = create_app(settings)
    clients = [player.client, TestClient(second_server, base_url=BASE_URL)]
    with ThreadPoolExecutor(4) as pool:
        posts = [pool.submit(post, clients[n % 2], file, n) for n in (3, 2, 4, 1)]
        retried = {each.result() for each in posts}
    second_server.state.database.close()
    late, queue = submit_job(
        database,
        app.state.storage,
        body,
        key=None,
        number=noted.number,
        options=Options(),
        language="en",
    )

    assert retried == {late.id}
    assert queue is None, "a job that exists needs no ring"
    assert [job["id"] for job in player.get(JOBS)["data"]] == [late.id, other]


def test_a_retry_with_another_key_from_the_same_address_is_another_job(player: Player) -> None:
    file = create_file(player)["id"]
    jobs = []
    for key, retry in (("a", 0), ("b", 1), ("a", 1)):
        player.client.headers["Authorization"] = f"Bearer {key}"
        jobs.append(post(player.client, file, retry))

    assert jobs[0] == jobs[2] != jobs[1]


def test_a_rejected_request_can_be_retried(player: Player, database: Database) -> None:
    body = {"model": "tiny-qwen2", "training_file": "file-0"}
    for retry in (0, 1):
        headers = {"x-stainless-retry-count": str(retry)}
        rejected = player.client.post(JOBS, json=body, headers=headers)
        assert code_of(rejected) == (400, "file_not_found", "training_file")
    wrong = player.client.post(JOBS, json=body, headers={"x-stainless-retry-count": "-1"})
    assert code_of(wrong) == (400, "invalid_field", "x-stainless-retry-count")

    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(CreateRequest)) == 1


def test_deleting_a_job_forgets_its_request(player: Player) -> None:
    file = create_file(player)["id"]
    first = post(player.client, file, 0)
    path = f"/v1/jobs/{first.replace('ftjob-', 'job_')}"
    player.client.post(f"{path}/cancel").raise_for_status()
    player.client.delete(path).raise_for_status()

    assert post(player.client, file, 1) != first
