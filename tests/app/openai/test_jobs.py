"""Fine-tuning jobs in OpenAI's format: creation and its errors, lists, and the actions on jobs."""

from typing import Any

import pytest
from httpx2 import Response

from tests.app.openai.test_files import code_of
from tests.app.openai.test_files import create as create_file
from tests.app.player import Player

JOBS = "/v1/fine_tuning/jobs"


def post(player: Player, **fields: Any) -> Response:
    if "training_file" not in fields:
        fields["training_file"] = create_file(player)["id"]
    return player.client.post(JOBS, json={"model": "tiny-qwen2"} | fields)


def create(player: Player, **fields: Any) -> Any:
    response = post(player, **fields)
    assert response.status_code == 200, response.text
    return response.json()


def test_a_new_job_has_every_field_of_openais_object(player: Player) -> None:
    file = create_file(player)["id"]
    job = create(player, training_file=file, suffix="My model", seed=7, metadata={"team": "a"})

    used = {"batch_size": 16, "learning_rate_multiplier": 1.0, "n_epochs": 1}
    own = job.pop("stepline")
    created_at = job.pop("created_at")
    assert isinstance(created_at, int)
    assert job == {
        "object": "fine_tuning.job",
        "id": own["id"].replace("job_", "ftjob-"),
        "finished_at": None,
        "model": "tiny-qwen2",
        "fine_tuned_model": None,
        "organization_id": "org-stepline",
        "status": "queued",
        "hyperparameters": used,
        "method": {"type": "supervised", "supervised": {"hyperparameters": used}},
        "training_file": file,
        "validation_file": None,
        "result_files": [],
        "trained_tokens": None,
        "error": None,
        "seed": 7,
        "estimated_finish": None,
        "integrations": [],
        "metadata": {"team": "a"},
        "user_provided_suffix": "My model",
        "adapter_file": None,
    }
    assert own == player.job(own["id"])
    assert own["name"] == "My model"


def test_hyperparameters_from_both_places_and_our_own_spec_reach_the_job(player: Player) -> None:
    files = [create_file(player)["id"] for _ in range(2)]
    job = create(
        player,
        training_file=files[0],
        validation_file=files[1],
        hyperparameters={"n_epochs": 2, "batch_size": 6},
        method={
            "type": "supervised",
            "supervised": {
                "hyperparameters": {
                    "n_epochs": 3,
                    "learning_rate_multiplier": 3,
                    "batch_size": "auto",
                }
            },
        },
        stepline={"lora": {"rank": 8}, "training": {"max_length": 64}},
    )

    spec = job["stepline"]["spec"]
    assert job["hyperparameters"] == {
        "batch_size": 6,
        "learning_rate_multiplier": 3.0,
        "n_epochs": 3,
    }
    assert (job["training_file"], job["validation_file"]) == tuple(files)
    assert spec["training"]["per_device_batch_size"] == 3
    assert spec["training"]["learning_rate"] == 0.0006
    assert (spec["lora"]["rank"], spec["training"]["max_length"]) == (8, 64)
    assert spec["dataset"]["eval"] == spec["dataset"]["train"]


def test_the_multiplier_applies_to_the_learning_rate_of_a_preset(player: Player) -> None:
    presets = {each["name"]: each["settings"] for each in player.get("/v1/presets")["data"]}
    name, rate = next(
        (name, settings["training"]["learning_rate"])
        for name, settings in presets.items()
        if "learning_rate" in settings.get("training", {})
    )

    job = create(
        player,
        hyperparameters={"learning_rate_multiplier": 2},
        stepline={"preset": name},
    )

    assert job["stepline"]["spec"]["training"]["learning_rate"] == pytest.approx(2 * rate)


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"method": {"type": "dpo"}}, "unsupported_method", "method.type"),
        ({"method": {"type": "reinforcement"}}, "unsupported_method", "method.type"),
        ({"method": {"type": "sft"}}, "invalid_field", "method.type"),
        ({"integrations": [{"type": "wandb"}]}, "unsupported_integration", "integrations"),
        ({"training_file": "file-0"}, "file_not_found", "training_file"),
        ({"validation_file": "file-\0'"}, "file_not_found", "validation_file"),
        ({"training_file": "ds_" + "0" * 24}, "dataset_not_found", "training_file"),
        ({"training_file": "ds_x"}, "invalid_field", "training_file"),
        ({"model": "gpt 4"}, "invalid_field", "model"),
        ({"suffix": "a\x1b[31m"}, "unsafe_character", "suffix"),
        ({"metadata": {"a": "\u202e"}}, "unsafe_character", "metadata.a"),
        ({"metadata": {"a": 1}}, "invalid_field", "metadata.a"),
        ({"seed": -1}, "invalid_field", "seed"),
        ({"hyperparameters": {"n_epochs": 0}}, "invalid_field", "hyperparameters.n_epochs"),
        (
            {
                "method": {
                    "type": "supervised",
                    "supervised": {"hyperparameters": {"batch_size": "x"}},
                }
            },
            "invalid_field",
            "method.supervised.hyperparameters.batch_size",
        ),
        ({"epochs": 3}, "invalid_field", "epochs"),
        ({"stepline": {"lora": {"ranks": 8}}}, "invalid_field", "stepline.lora.ranks"),
        ({"stepline": {"preset": "x"}}, "invalid_field", "stepline.preset"),
        ({"stepline": {"training": {"epochs": 0}}}, "invalid_field", "stepline.training.epochs"),
        (
            {
                "stepline": {"training": {"learning_rate": 0.5}},
                "hyperparameters": {"learning_rate_multiplier": 4},
            },
            "invalid_field",
            "hyperparameters.learning_rate_multiplier",
        ),
        ({"stepline": {"model": "a"}}, "field_given_twice", "stepline.model"),
        (
            {"stepline": {"dataset": {"train": "a"}}},
            "field_given_twice",
            "stepline.dataset.train",
        ),
        ({"stepline": {"name": "a\x1b"}}, "unsafe_character", "stepline.name"),
    ],
)
def test_a_rejected_job_names_the_field(
    player: Player, fields: dict[str, Any], code: str, param: str
) -> None:
    rejected = post(player, **fields)

    assert code_of(rejected) == (400, code, param)
    assert rejected.headers["x-should-retry"] == "false"
    assert rejected.headers["x-request-id"].startswith("req_")
    assert player.get(JOBS)["data"] == []


def test_lists_end_and_can_be_filtered_by_metadata(player: Player) -> None:
    file = create_file(player)["id"]
    ids = [
        create(player, training_file=file, metadata={"n": str(n % 2), "all": "x"})["id"]
        for n in range(5)
    ]

    first = player.get(JOBS, limit=3)
    last = player.get(JOBS, limit=3, after=first["data"][-1]["id"])
    odd = player.get(JOBS, **{"metadata[n]": "1", "metadata[all]": "x"})

    assert [job["id"] for job in first["data"] + last["data"]] == ids[::-1]
    assert (first["has_more"], last["has_more"]) == (True, False)
    assert [job["id"] for job in odd["data"]] == [ids[3], ids[1]]
    assert odd["has_more"] is False
    wrong = player.client.get(JOBS, params={"after": "ftjob-x"})
    assert code_of(wrong) == (400, "bad_cursor", "after")
    without = player.client.get(JOBS, params={"metadata": "null"})
    assert code_of(without) == (400, "unsupported_filter", "metadata")


def test_pause_resume_and_cancel_take_an_empty_body(player: Player) -> None:
    job = create(player)
    path = f"{JOBS}/{job['id']}"
    empty = {"Content-Type": "application/json", "Content-Length": "0"}

    for action, status in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        changed = player.client.post(f"{path}/{action}", headers=empty)
        assert (changed.status_code, changed.json()["status"]) == (200, status)
    rejected = player.client.post(f"{path}/pause", headers=empty)

    assert code_of(rejected)[:2] == (409, "job_already_ended")
    assert rejected.headers["x-should-retry"] == "false"
    assert isinstance(player.get(path)["finished_at"], int)
    unknown = player.client.get(f"{JOBS}/ftjob-unknown")
    assert code_of(unknown)[:2] == (404, "job_not_found")


def test_jobs_of_our_own_api_are_listed_with_the_newest_file_of_their_dataset(
    player: Player,
) -> None:
    dataset = player.upload()
    job_id = player.submit(dataset={"train": dataset}, name="a", labels={"x": "y"})
    path = f"{JOBS}/{job_id.replace('job_', 'ftjob-')}"
    assert player.get(path)["training_file"] == dataset

    new = create_file(player)
    other = player.submit(dataset={"train": new["dataset_id"]})

    [first, second] = player.get(JOBS)["data"]
    assert (first["stepline"]["id"], first["training_file"]) == (other, new["id"])
    assert (second["training_file"], second["metadata"]) == (dataset, {"x": "y"})


def test_a_repeated_idempotency_key_returns_the_same_job(player: Player) -> None:
    body = {"model": "tiny-qwen2", "training_file": create_file(player)["id"]}
    headers = {"Idempotency-Key": "k"}

    first, second = (player.client.post(JOBS, json=body, headers=headers).json() for _ in range(2))

    assert first["id"] == second["id"]
    assert len(player.get(JOBS)["data"]) == 1
