"""Presets: each makes a valid job, and a job's own fields take precedence."""

from typing import Any

import pytest

from app.jobs.schemas import JobView
from app.presets.catalog import PRESETS
from app.presets.service import fill_in, merge
from contracts.job import JobSpec, load_stored_spec
from tests.app.player import Player

ROWS = {"train": "ds_0123abcd"}


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_makes_a_valid_spec(name: str) -> None:
    given = {"preset": name, "dataset": ROWS}
    settings = PRESETS[name].settings
    spec = JobSpec.model_validate(fill_in(given if "model" in settings else given | {"model": "m"}))

    assert load_stored_spec(spec.model_dump(mode="json")) == spec
    assert merge(spec.model_dump(mode="json"), settings) == spec.model_dump(mode="json")


def test_a_preset_never_overrides_the_fields_of_a_job(player: Player) -> None:
    own = {"max_steps": 7, "early_stopping": {"patience": 2}}
    response = player.post_job(
        preset="quick-try", dataset={"train": player.upload(50)}, training=own, labels={"a": "b"}
    )

    spec = JobView.model_validate_json(response.content).spec
    assert response.status_code == 201
    assert (spec.preset, spec.model) == ("quick-try", "tiny-qwen2")
    assert (spec.training.max_steps, spec.training.max_length, spec.lora.rank) == (7, 256, 8)
    assert (spec.training.early_stopping, spec.dataset.eval_size) != (None, "auto")
    assert player.job(response.json()["id"])["spec"] == response.json()["spec"]


def test_a_preset_can_name_the_model(player: Player) -> None:
    body = {"preset": "qwen2.5-7b", "dataset": {"train": player.upload()}}

    plan = player.client.post("/v1/jobs?dry_run=true", json=body).json()

    assert plan["spec"]["model"] == "Qwen/Qwen2.5-7B-Instruct"
    assert plan["spec"]["training"]["gradient_accumulation_steps"] == 8


def test_a_null_in_a_job_overrides_the_preset() -> None:
    filled = fill_in({"preset": "quick-try", "training": {"max_steps": None}})

    assert filled["training"] == {"max_steps": None, "max_length": 256}


def test_an_unknown_preset_is_the_only_problem_and_the_nearest_name_is_suggested(
    player: Player,
) -> None:
    response = player.client.post("/v1/jobs", json={"preset": "quick-tyr", "dataset": ROWS})

    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "preset")
    assert [each["code"] for each in error["errors"]] == ["unknown_preset"]
    assert error["hint"] == "Did you mean quick-try?"


@pytest.mark.parametrize("preset", [7, ["quick-try"], {"name": "quick-try"}, "x" * 200, ""])
def test_a_preset_of_another_type_is_rejected(player: Player, preset: Any) -> None:
    body = {"preset": preset, "model": "m", "dataset": ROWS}

    response = player.client.post("/v1/jobs?dry_run=true", json=body)

    assert (response.status_code, response.json()["error"]["param"]) == (400, "preset")


def test_a_repeated_request_with_a_preset_returns_the_same_job(player: Player) -> None:
    dataset, key = {"train": player.upload()}, {"Idempotency-Key": "once"}

    first, again = (
        player.post_job(key, preset="quick-try", dataset=dataset).json() for _ in range(2)
    )
    other = player.post_job(key, preset="low-memory", dataset=dataset)

    assert first == again
    assert other.json()["error"]["code"] == "idempotency_conflict"


def test_presets_are_listed_in_both_languages(player: Player) -> None:
    english = player.get("/v1/presets")["data"]
    chinese = player.client.get("/v1/presets", headers={"Accept-Language": "zh"}).json()["data"]

    assert [each["name"] for each in english] == list(PRESETS)
    assert len(english) >= 20
    assert english[1]["title"] == "Quick try"
    assert chinese[1]["title"] == "快速试跑"
    assert english[1]["settings"]["training"] == {"max_steps": 20, "max_length": 256}


def test_a_worker_gets_a_complete_spec_without_the_name_of_the_preset(player: Player) -> None:
    player.submit(preset="low-memory", dataset={"train": player.upload()})

    claim = player.claim()

    assert claim.spec.preset is None
    assert (claim.spec.lora.rank, claim.spec.engine.token_budget) == (16, 512)
