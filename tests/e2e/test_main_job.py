"""A job from its submission to its adapter on a complete, real service."""

import io
import json
import math
import signal
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import HUB_TOKEN, make_job, place_model, spec_of_job, tiny_rows
from tests.e2e.service import FINAL, Service, wait_for
from tests.hub_server import COMMIT, Hub
from tests.programs.processes import environment_of

ENDLESS = 1_000_000


def _steps(points: list[Any]) -> list[int]:
    return [point["step"] for point in points]


def test_a_job_runs_from_submission_to_its_adapter(service: Service) -> None:
    job_id = service.post_job(**make_job(service, rows=40))  # trains on 32 rows in 8 steps

    job = service.wait_for_end(job_id)

    assert job["status"] == "succeeded", service.logs()
    points = service.losses(job_id)
    assert _steps(points) == list(range(1, 9))
    assert all(math.isfinite(point["loss"]) and point["loss"] > 0 for point in points)
    summary = service.get(f"/v1/jobs/{job_id}/summary")
    assert summary["steps"] == 8
    assert summary["perplexity"] == pytest.approx(math.exp(summary["eval_loss"]))
    attempts = service.get(f"/v1/jobs/{job_id}/attempts")["data"]
    assert [attempt["status"] for attempt in attempts] == ["succeeded"]
    adapter = service.client.get(f"/v1/jobs/{job_id}/artifacts/adapter.zip")
    with zipfile.ZipFile(io.BytesIO(adapter.content)) as zipped:
        assert zipped.testzip() is None
        assert {"adapter_config.json", "adapter_model.safetensors"} <= set(zipped.namelist())
        assert json.loads(zipped.read("adapter_config.json"))["r"] == 8
    names = {item["name"] for item in service.get(f"/v1/jobs/{job_id}/artifacts")["data"]}
    assert {"adapter.zip", "summary.json", "records.jsonl", "output.log"} <= names
    _check_plan(service, job, summary)
    # The run directory of a job that succeeded is deleted.
    runs = service.directory / "work" / "runs"
    wait_for(lambda: not list(runs.glob("*/*/spec.json")), 5, lambda: str(list(runs.glob("*/*"))))
    assert service.trainers() == []


def _check_plan(service: Service, job: Any, summary: Any) -> None:
    """The finished job corrects the forecast for the same job, which was unknown or wrong before."""
    plan = service.get(f"/v1/jobs/{job['id']}/plan")
    spec = {name: job["spec"][name] for name in ("model", "dataset", "training", "lora")}
    again = service.client.post("/v1/jobs?dry_run=true", json=spec).json()["forecast"]
    actual, seconds = plan["actual"], sum(summary["phases"].values())
    assert actual["peak_memory_bytes"] == summary["peak_memory_bytes"]
    assert actual["tokens_per_row"] == again["tokens"]["per_row"]["value"]
    (worker,) = again["workers"]
    assert worker["peak_memory_bytes"]["value"] == pytest.approx(
        actual["peak_memory_bytes"], rel=0.1
    )
    assert worker["seconds"]["value"] == pytest.approx(seconds, rel=0.1)


def test_each_loss_can_be_read_within_two_seconds_of_its_step(service: Service) -> None:
    job_id = service.post_job(**make_job(service, steps=150))
    seen: dict[int, float] = {}

    while service.job(job_id)["status"] not in FINAL:
        now = datetime.now(UTC)
        for point in service.losses(job_id):
            at = datetime.fromisoformat(point["at"])
            seen.setdefault(point["step"], (now - at).total_seconds())
        time.sleep(0.1)

    assert service.job(job_id)["status"] == "succeeded", service.logs()
    assert _steps(service.losses(job_id)) == list(range(1, 151))
    assert len(seen) > 50, "the job ended before the test could observe it"
    assert max(seen.values()) < 2


def test_errands_run_during_training_and_the_worker_runs_the_next_job_afterwards(
    service: Service, hub: Hub
) -> None:
    job_id = service.post_job(**make_job(service, steps=ENDLESS))
    service.wait_for_step(job_id, 3)
    _check_prefetch(service, hub)
    _check_preview(service, service.job(job_id)["spec"]["dataset"]["train"])
    service.wait_for_step(job_id, len(service.losses(job_id)) + 1)  # training continues
    _check_secrets(service)
    follower = service.post_job(**make_job(service, steps=1))

    job = service.cancel(job_id)

    assert job["status"] == "cancelled"
    points = service.losses(job_id)
    assert _steps(points) == list(range(1, len(points) + 1))
    assert service.wait_for_end(follower)["status"] == "succeeded", service.logs()


@pytest.mark.slow
def test_a_dataset_is_imported_even_if_its_worker_is_killed_and_a_job_trains_on_it(
    service: Service, hub: Hub
) -> None:
    hub.opened.clear()
    wanted = {"hub": "team/rows", "split": "train[:30]", "revision": COMMIT[:12]}
    begun = service.client.post("/v1/dataset-imports", json=wanted)
    assert begun.status_code == 202, begun.text
    url = begun.headers["Location"]
    wait_for(lambda: service.get(url)["progress"] is not None, 30, service.logs)
    service.stop("worker", signal.SIGKILL)
    service.start_worker()
    hub.opened.set()

    wait_for(lambda: service.get(url)["finished_at"] is not None, 60, service.logs)

    errand = service.get(url)
    assert errand["status"] == "succeeded", errand
    assert errand["progress"]["bytes_done"] == errand["progress"]["bytes_total"] > 0
    dataset = service.get(f"/v1/datasets/{errand['dataset']}")
    assert (dataset["rows"], dataset["source"]["revision"]) == (30, COMMIT)
    assert not list((service.directory / "work").glob("import-*"))
    assert f"Bearer {HUB_TOKEN}" in hub.tokens
    job_id = service.post_job(**spec_of_job(dataset["id"], steps=1))
    assert service.wait_for_end(job_id)["status"] == "succeeded", service.logs()


def test_a_job_that_cannot_be_trained_fails_with_a_reason_and_the_worker_runs_the_next_job(
    service: Service, tiny_model: Path
) -> None:
    broken = place_model(service, tiny_model, "broken")
    weights = next(broken.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1000])
    spec = make_job(service, steps=1)

    missing_id = service.post_job(**spec | {"model": "nobody/nothing"})
    broken_id = service.post_job(**spec | {"model": "broken"})
    good_id = service.post_job(**spec)

    missing = service.wait_for_end(missing_id)
    assert (missing["status"], missing["error"]["code"]) == ("failed", "model_not_found")
    assert missing["error"]["hint"]
    assert "no directory 'nobody/nothing'" in missing["error"]["detail"]
    broken_job = service.wait_for_end(broken_id)
    assert (broken_job["status"], broken_job["error"]["code"]) == ("failed", "model_refused")
    assert service.wait_for_end(good_id)["status"] == "succeeded", service.logs()


@pytest.mark.slow
def test_phases_without_steps_report_progress_in_rows(service: Service, tiny_model: Path) -> None:
    template = place_model(service, tiny_model, "slow") / "chat_template.jinja"
    # It renders the same text, but takes a few milliseconds longer.
    template.write_text("{% for _ in range(30000) %}{% endfor %}" + template.read_text())
    spec = make_job(service, rows=1600, steps=ENDLESS) | {"model": "slow"}
    spec["dataset"]["eval_size"] = 600
    spec["engine"] = {"token_budget": 16}  # one row per micro-batch
    job_id = service.post_job(**spec)
    tokenizing: list[Any] = []
    evaluating: list[Any] = []

    def is_evaluating(job: Any) -> bool:
        rows = job["progress"]["rows"]
        if rows is not None:
            assert (job["progress"]["step"], job["eta_seconds"]) == (0, None)
            found = {"tokenizing": tokenizing, "evaluating": evaluating}[job["phase"]]
            found.append(rows)
        return len({rows["done"] for rows in evaluating}) >= 3

    service.wait_for_job(job_id, is_evaluating, 90)
    job = service.cancel(job_id)

    for found, total in ((tokenizing, 1600), (evaluating, 600)):
        done = [rows["done"] for rows in found]
        between = [rows for rows in found if 0 < rows["done"] < total]
        assert between, f"no progress was seen between start and end: {found}"
        assert done == sorted(done)
        assert {rows["total"] for rows in found} == {total}
        assert all(rows["seconds_left"] > 0 for rows in between)
    assert job["progress"]["rows"] is None
    assert job["status"] == "cancelled"


def _check_prefetch(service: Service, hub: Hub) -> None:
    """Download a model from the hub and check that it is then listed."""
    asked = service.client.post("/v1/models/team/tiny/prefetch", json={})
    assert asked.status_code == 202, asked.text
    path = asked.headers["Location"]
    wait_for(lambda: service.get(path)["status"] not in ("queued", "running"), 30, service.logs)
    errand = service.get(path)
    assert (errand["status"], errand["error"]) == ("succeeded", None)
    assert errand["revision"] == COMMIT
    assert f"Bearer {HUB_TOKEN}" in hub.tokens
    wait_for(lambda: _revisions(service).get("team/tiny") == COMMIT, 10, service.logs)
    assert _revisions(service)["tiny-qwen2"] is None


def _revisions(service: Service) -> dict[str, Any]:
    return {model["id"]: model["revision"] for model in service.get("/v1/models")["data"]}


def _check_preview(service: Service, dataset: str) -> None:
    """Preview a row with the downloaded model and check its tokens."""
    preview = service.client.get(
        f"/v1/datasets/{dataset}/preview",
        params={"model": "team/tiny", "first": 1},
        headers={"Prefer": "wait=30"},
    )
    assert preview.status_code == 200, preview.text + service.logs()
    (row,) = preview.json()["rows"]
    trained = "".join(token["text"] for token in row["tokens"] if token["trained"])
    assert trained == json.loads(tiny_rows(1))["output"] + "<|im_end|>"


def _check_secrets(service: Service) -> None:
    """Check that the hub's token is in no file of the service and not in the training program's environment."""
    holders = [
        path
        for path in service.directory.rglob("*")
        if path.is_file() and HUB_TOKEN.encode() in path.read_bytes()
    ]
    assert holders == []
    trainers = service.trainers()
    assert trainers
    assert all(HUB_TOKEN not in environment_of(pid).values() for pid in trainers)
