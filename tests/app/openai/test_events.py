"""Events, result files and models of fine-tuning jobs: order, pages, and deletion."""

import csv
from datetime import timedelta
from typing import Any

from contracts.base import utc_now
from contracts.model_facts import ModelFacts
from contracts.record import EvalRecord, MetricRecord
from tests.app.openai.test_files import code_of
from tests.app.openai.test_files import create as create_file
from tests.app.player import Player

JOBS = "/v1/fine_tuning/jobs"


def metric(seq: int, step: int, loss: float, **values: float) -> MetricRecord:
    return MetricRecord(seq=seq, at=utc_now(), step=step, values={"loss": loss, **values})


def path_of(job_id: str) -> str:
    return f"{JOBS}/{job_id.replace('job_', 'ftjob-')}"


def read_all(player: Player, job_id: str, limit: int) -> list[Any]:
    found: list[Any] = []
    query: dict[str, Any] = {"limit": limit}
    while True:
        page = player.get(f"{path_of(job_id)}/events", **query)
        found += page["data"]
        if not page["has_more"]:
            return found
        query["after"] = page["last_id"]


def test_steps_and_messages_form_one_list_whatever_the_page_size(player: Player) -> None:
    job_id = player.submit()
    claim = player.claim()
    player.sync(
        claim,
        metric(1, 1, 2.5, token_accuracy=0.25),
        EvalRecord(seq=2, at=utc_now(), step=1, loss=2.0, tokens=5),
        metric(3, 2, float("nan")),
    )

    whole = player.get(f"{path_of(job_id)}/events", limit=100)["data"]

    metrics = [event for event in whole if event["type"] == "metrics"]
    assert [event["data"] for event in metrics] == [
        {"step": 2, "train_loss": None},
        {
            "step": 1,
            "train_loss": 2.5,
            "train_mean_token_accuracy": 0.25,
            "valid_loss": 2.0,
            "full_valid_loss": 2.0,
        },
    ]
    assert metrics[1]["message"] == "Step 1: training loss=2.5000, validation loss=2.0000"
    assert whole[-1]["message"].startswith("Created fine-tuning job: ftjob-")
    assert all(event["object"] == "fine_tuning.job.event" for event in whole)
    for limit in (1, 2, 3):
        assert read_all(player, job_id, limit) == whole
    wrong = player.client.get(f"{path_of(job_id)}/events", params={"after": "ftevent-0"})
    assert code_of(wrong) == (400, "bad_cursor", "after")


def test_the_validation_of_the_file_follows_the_creation_of_a_job(player: Player) -> None:
    file = create_file(player)["id"]
    body = {"model": "tiny-qwen2", "training_file": file}
    response = player.client.post(JOBS, json=body)
    job_id = response.json()["id"].replace("ftjob-", "job_")
    player.claim()

    whole = player.get(f"{path_of(job_id)}/events", limit=100)["data"]

    assert [event["message"] for event in whole][::-1] == [
        f"Created fine-tuning job: ftjob-{job_id[4:]}",
        f"Validating training file: {file}",
        "Files validated, moving job to queued state",
        "Fine-tuning job started",
    ]
    assert len({event["id"] for event in whole}) == 4
    for limit in (1, 2, 3):
        assert read_all(player, job_id, limit) == whole
    other = player.client.get(
        f"{path_of(job_id)}/events", params={"after": "ftevent-00000000-file-0"}
    )
    assert code_of(other) == (400, "bad_cursor", "after")


def test_steps_are_in_order_although_the_clock_of_the_first_worker_is_fast(player: Player) -> None:
    job_id = player.submit()
    first = player.claim()
    fast = [metric(n, n, 1.0) for n in range(1, 4)]
    ahead = timedelta(minutes=1)
    player.sync(first, *(each.model_copy(update={"at": each.at + ahead}) for each in fast))
    player.client.post(f"/v1/jobs/{job_id}/pause").raise_for_status()
    player.finish(first, "paused", player.checkpoint(first, 4, 3)).raise_for_status()
    player.client.post(f"/v1/jobs/{job_id}/resume").raise_for_status()
    player.sync(player.claim(), *(metric(n, n + 3, 1.0) for n in range(1, 4)))

    whole = player.get(f"{path_of(job_id)}/events", limit=100)["data"]

    steps = [event["data"]["step"] for event in whole if event["type"] == "metrics"]
    assert steps == [6, 5, 4, 3, 2, 1]
    times = [event["created_at"] for event in whole]
    assert times == sorted(times, reverse=True)
    for limit in (1, 2, 5):
        assert read_all(player, job_id, limit) == whole


def test_messages_are_in_the_language_of_the_request(player: Player) -> None:
    job_id = player.submit()

    chinese = player.client.get(
        f"{path_of(job_id)}/events", headers={"Accept-Language": "zh"}
    ).json()["data"]

    assert [event["message"] for event in chinese] == ["任务已提交。"]
    assert chinese[0]["data"]["code"] == "job_created"


def test_the_result_file_has_a_line_for_each_step(player: Player) -> None:
    job_id = player.submit(name="a:b c")
    claim = player.claim()
    player.sync(
        claim,
        metric(1, 1, 2.5),
        EvalRecord(seq=2, at=utc_now(), step=1, loss=2.0, tokens=5),
        metric(3, 2, 1.5, token_accuracy=0.5),
    )
    before = player.client.get(f"/v1/files/file-results{job_id[4:]}")
    player.succeed(claim, last_seq=3)

    job = player.get(path_of(job_id))
    assert job["fine_tuned_model"] == f"ft:tiny-qwen2:stepline:a-b-c:{job_id[4:12]}"
    [file] = job["result_files"]
    content = player.client.get(f"/v1/files/{file}/content")
    header, *rows = csv.reader(content.text.splitlines())
    assert header == [
        "step",
        "train_loss",
        "train_accuracy",
        "valid_loss",
        "valid_mean_token_accuracy",
    ]
    assert rows == [["1", "2.5", "", "2.0", ""], ["2", "1.5", "0.5", "", ""]]
    shown = player.get(f"/v1/files/{file}")
    assert (shown["bytes"], shown["purpose"]) == (len(content.content), "fine-tune-results")
    assert code_of(before)[:2] == (404, "file_not_found")
    assert code_of(player.client.delete(f"/v1/files/{file}"))[:2] == (409, "file_of_job")
    adapter = player.client.get(f"/v1/files/{job['adapter_file']}/content")
    assert adapter.content == player.client.get(f"/v1/jobs/{job_id}/artifacts/adapter.zip").content


def test_a_fine_tuned_model_is_listed_and_deleted_but_its_job_remains(player: Player) -> None:
    job_id = player.submit(name="mine")
    player.succeed(player.claim())
    job = player.get(path_of(job_id))
    name = job["fine_tuned_model"]
    assert job["adapter_file"] == f"file-adapter{job_id[4:]}"

    listed = player.get("/v1/models")["data"]
    assert [model["id"] for model in listed if model["owned_by"] == "stepline"] == [name]
    model = player.get(f"/v1/models/{name}")
    assert (model["base_model"], model["job"]) == ("tiny-qwen2", job_id)
    assert player.get("/v1/models", queue="default")["data"] == []
    unknown = player.client.delete("/v1/models/base")
    assert code_of(unknown)[:2] == (404, "model_not_listed")
    assert player.client.delete(f"/v1/models/{name}").json() == {
        "id": name,
        "object": "model",
        "deleted": True,
    }

    assert player.client.get(f"/v1/models/{name}").status_code == 404
    assert player.get("/v1/models")["data"] == []
    assert player.job(job_id)["status"] == "succeeded"
    assert player.client.get(f"/v1/files/file-adapter{job_id[4:]}").status_code == 404
    job = player.get(path_of(job_id))
    assert (job["fine_tuned_model"], job["adapter_file"]) == (name, None)

    player.hello(models=["base"])
    player.report_models("worker-1", ModelFacts(name="base"))
    base = player.client.delete("/v1/models/base")
    assert code_of(base)[:2] == (403, "model_not_deletable")
