"""Jobs on several GPUs: which claims get them, which sizes are rejected, and what users see while they wait."""

from typing import Any

import pytest
from sqlalchemy import select

from app.db.engine import Database
from app.db.tables import DeviceFailure, Job
from contracts.failure import FailureReason
from tests.app.jobs.endings.test_device_failures import gpu
from tests.app.jobs.queue.gpu_hosts import HUB, ask, card, submit, take
from tests.app.player import Player

# Matching


def test_a_claim_gets_a_job_only_if_it_has_enough_free_cards(player: Player) -> None:
    job = submit(player, 3)

    assert ask(player, card("a", 1, 4), 2) is None
    claim = take(player, card("a", 1, 4), 4)

    assert (claim.job_id, claim.gpus, claim.spec.resources.gpus) == (job, 3, 3)
    attempt = player.get(f"/v1/jobs/{job}/attempts")["data"][0]
    assert (attempt["gpus"], attempt["worker"]) == (3, "a-1")
    event = player.get(f"/v1/jobs/{job}/events")["data"][1]
    assert event["message"] == "Attempt 1 started on worker a-1, on 3 GPUs."
    workers = {each["id"]: each for each in player.get("/v1/workers")["data"]}
    assert (workers["a-1"]["gpus"], workers["a-1"]["current_gpus"]) == (4, 3)


@pytest.mark.parametrize(("cards", "batch", "gpus"), [(1, 16, 1), (4, 16, 4), (4, 3, 3), (4, 1, 1)])
def test_a_job_for_all_gpus_uses_those_of_its_host_but_no_more_than_it_has_samples(
    player: Player, cards: int, batch: int, gpus: int
) -> None:
    training = {"per_device_batch_size": 1, "gradient_accumulation_steps": batch}
    job = submit(player, "all", training=training)

    assert gpus == 1 or ask(player, card("a", 1, cards), gpus - 1) is None
    claim = take(player, card("a", 1, cards), gpus)

    assert (claim.job_id, claim.gpus) == (job, gpus)


def test_a_repeated_claim_returns_the_same_number_of_gpus(player: Player) -> None:
    submit(player, 2)
    claims = [player.post_claim("c1", 2, **card("a", 1, 2)).json() for _ in range(2)]

    assert claims[0] == claims[1]
    assert claims[0]["gpus"] == 2


def test_a_worker_of_an_earlier_version_gets_only_jobs_for_one_gpu_and_specs_that_it_understands(
    player: Player,
) -> None:
    submit(player, 2)
    submit(player, "all")
    small = [submit(player), player.submit(dataset=HUB)]
    one_sample = {"per_device_batch_size": 1, "gradient_accumulation_steps": 1}
    small.append(submit(player, "all", training=one_sample))

    claims = [player.post_claim().json() for _ in small]

    assert [claim["job_id"] for claim in claims] == small
    assert all("resources" not in claim["spec"] for claim in claims)
    assert player.post_claim().status_code == 204


def test_a_claim_contains_the_resources_of_a_job_only_if_they_are_not_the_default(
    player: Player,
) -> None:
    submit(player)
    submit(player, 2)

    claims = [player.post_claim(free_cards=2, **card("a", 1, 2)).json() for _ in range(2)]

    assert "resources" not in claims[0]["spec"]
    assert "fused_lora" not in claims[0]["spec"]["engine"]
    assert claims[1]["spec"]["resources"] == {"gpus": 2}


def test_a_stored_spec_of_an_earlier_version_needs_one_gpu(
    player: Player, database: Database
) -> None:
    job = submit(player)
    with database.writing() as session:
        stored = session.scalars(select(Job)).one()
        stored.spec = {name: value for name, value in stored.spec.items() if name != "resources"}

    assert player.job(job)["spec"]["resources"] == {"gpus": 1}
    assert player.claim().job_id == job


# Failed devices


def test_a_borrowed_gpu_that_fails_counts_as_the_device_of_its_own_worker(
    player: Player, database: Database
) -> None:
    own, lent = (
        card("a", n, 2) | gpu(f"a-{n}", device={"kind": "cuda", "uuid": f"GPU-{n}"})
        for n in range(2)
    )
    player.hello(**lent)
    job = submit(player, 2)
    claim = take(player, own, 2)

    player.fail(claim, FailureReason.DEVICE_FAILED, evidence={"card": "GPU-1", "rank": 1})

    with database.reading() as session:
        failure = session.scalars(select(DeviceFailure)).one()
        assert (failure.worker_id, failure.device) == ("a-1", "GPU-1")
    assert ask(player, own, 2) is None, "the job waits for the check of the GPU that failed"
    player.hello(**lent | {"device_check": {"passed": False, "reason": "it broke"}})
    assert ask(player, own, 2) is not None
    assert [each["code"] for each in player.get(f"/v1/jobs/{job}/events")["data"]].count(
        "device_check_passed"
    ) == 0, "the GPU was the cause"


# Rejected sizes


def test_more_gpus_than_samples_per_update_are_rejected_with_both_numbers(player: Player) -> None:
    training = {"per_device_batch_size": 2, "gradient_accumulation_steps": 2}

    for query in ("", "?dry_run=true"):
        body = {"model": "m", "dataset": HUB, "training": training, "resources": {"gpus": 5}}
        response = player.client.post(f"/v1/jobs{query}", json=body)
        error = response.json()["error"]
        assert (response.status_code, error["code"], error["param"]) == (
            400,
            "too_many_gpus",
            "resources.gpus",
        )
        assert "resources.gpus is 5, but an update has only 4 samples" in error["message"]
    assert submit(player, 4, training=training)


@pytest.mark.parametrize("gpus", [0, -1, 65, 1.5, "2", "both", True, None])
def test_a_number_of_gpus_outside_the_range_is_rejected(player: Player, gpus: object) -> None:
    response = player.post_job(dataset=HUB, resources={"gpus": gpus})

    problems = response.json()["error"]["errors"]
    assert response.status_code == 400
    assert [(each["param"], each["code"]) for each in problems] == [
        ("resources.gpus", "invalid_gpus")
    ]


# What users see


def waiting(player: Player, job: str) -> Any:
    found = player.job(job)["waiting"]
    assert found == player.get("/v1/jobs")["data"][0]["waiting"]
    return found


def test_a_job_that_needs_more_gpus_than_any_host_has_says_so_in_both_languages(
    player: Player,
) -> None:
    job = submit(player, 4)
    assert waiting(player, job)["code"] == "no_worker"
    player.hello(**card("a", 1, 2))
    player.hello(worker_id="old")

    found = waiting(player, job)
    assert (found["code"], found["gpus"], found["largest_host"]) == ("too_few_gpus", 4, 2)
    assert found["message"].startswith(
        "Needs 4 GPUs; the largest host that has the model tiny-qwen2 has 2."
    )
    chinese = player.client.get(f"/v1/jobs/{job}", headers={"Accept-Language": "zh"}).json()
    assert chinese["waiting"]["message"].startswith(
        "需要 4 张 GPU，而装有模型 tiny-qwen2 的最大主机只有 2 张。"
    )

    player.hello(**card("b", 1, 4))
    assert waiting(player, job) is None


def test_a_host_without_the_model_does_not_count_while_another_host_has_it(player: Player) -> None:
    job = submit(player, 4)
    player.hello(**card("a", 1, 8) | {"models": ["other"]})
    assert waiting(player, job) is None, "a job whose model no worker has is claimed and fails"
    player.hello(**card("b", 1, 2) | {"models": ["tiny-qwen2"]})

    found = waiting(player, job)
    assert (found["code"], found["largest_host"]) == ("too_few_gpus", 2)
    body = {"model": "tiny-qwen2", "dataset": HUB, "resources": {"gpus": "all"}}
    plan = player.client.post("/v1/jobs?dry_run=true", json=body).json()
    assert plan["gpus"] == 2


def test_a_job_for_one_gpu_says_that_no_worker_can_run_it(player: Player) -> None:
    job = submit(player)
    assert waiting(player, job)["code"] == "no_worker"
    assert "队列 default 没有在线的工作节点" in chinese(player, job)
    for number in (1, 2):
        device = gpu(f"a-{number}", passed=False)
        player.hello(**card("a", number, 2) | device | {"models": ["tiny-qwen2"]})
    player.hello(**card("b", 1, 1) | {"models": ["other"]})

    found = waiting(player, job)
    assert (found["code"], found["workers"]) == ("devices_failed", 2)
    assert "2 个在线工作节点" in chinese(player, job)

    player.hello(**card("a", 2, 2) | gpu("a-2", passed=True) | {"models": ["tiny-qwen2"]})
    assert waiting(player, job) is None


def chinese(player: Player, job: str) -> str:
    answer = player.client.get(f"/v1/jobs/{job}", headers={"Accept-Language": "zh"})
    return str(answer.json()["waiting"]["message"])


def test_a_failed_device_does_not_count_as_a_host(player: Player) -> None:
    job = submit(player, 2)
    player.hello(**card("a", 1, 2) | gpu("a-1", passed=False))

    found = waiting(player, job)
    assert (found["code"], found["workers"]) == ("devices_failed", 1)


def test_a_reserved_job_names_its_host_until_it_starts(player: Player) -> None:
    job = submit(player, "all")
    before = player.job(job)["version"]
    assert ask(player, card("a", 1, 2), 1) is None

    found = waiting(player, job)
    assert (found["code"], found["gpus"], found["host"]) == ("gpus_reserved", 2, "a.example")
    assert player.job(job)["version"] > before, "long polls and streams must detect this"
    assert ask(player, card("a", 1, 2), 2) is not None
    assert waiting(player, job) is None


def test_a_job_for_all_gpus_says_that_all_workers_are_too_old(player: Player) -> None:
    job = submit(player, "all")
    player.hello(worker_id="old")

    assert waiting(player, job)["code"] == "workers_too_old"


@pytest.mark.parametrize(
    ("gpus", "planned", "code"),
    [(1, 1, None), (2, 2, None), (4, 4, "too_few_gpus"), ("all", 2, None)],
)
def test_a_dry_run_names_the_number_of_gpus_and_why_the_job_would_wait(
    player: Player, gpus: int | str, planned: int, code: str | None
) -> None:
    body = {"model": "m", "dataset": HUB, "resources": {"gpus": gpus}}
    player.hello(**card("a", 1, 2))

    plan = player.client.post("/v1/jobs?dry_run=true", json=body).json()

    assert (plan["gpus"], (plan["waiting"] or {}).get("code")) == (planned, code)
    assert plan["spec"]["resources"] == {"gpus": gpus}
