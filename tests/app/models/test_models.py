"""The models on the workers: their list, and which jobs the server rejects because of what it knows about them."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app.db.engine import Database, database_now
from app.db.tables import Worker
from app.workers.store import LIVE_SECONDS
from contracts.model_facts import ModelFacts
from tests.app.player import Player

QWEN = ModelFacts(
    name="Qwen/Qwen2-0.5B",
    architecture="Qwen2ForCausalLM",
    parameters=494_032_768,
    bytes=988_097_824,
    max_length=32_768,
    linear_modules=["k_proj", "o_proj", "q_proj", "v_proj"],
    chat_template="qwen2",
    license="apache-2.0",
)


def announce(player: Player, *models: ModelFacts, hub: bool = False, worker: str = "w1") -> None:
    """Send a hello and a report of the worker's models, as a worker does."""
    names = None if hub else [facts.name for facts in models]
    player.hello(worker_id=worker, models=names)
    player.report_models(worker, *models)


def plan_of(player: Player, **changes: Any) -> Any:
    body = {"model": QWEN.name, "dataset": {"train": player.upload()}} | changes
    return player.client.post("/v1/jobs?dry_run=true", json=body).json()


def problems_of(answer: Any) -> list[tuple[str, str]]:
    return [(each["param"], each["code"]) for each in answer["error"]["errors"]]


def test_models_are_listed_with_openais_keys_and_their_facts(player: Player) -> None:
    announce(player, QWEN, ModelFacts(name="tiny"))
    announce(player, QWEN, hub=True, worker="w2")

    page = player.get("/v1/models")

    assert (page["object"], page["has_more"]) == ("list", False)
    assert [model["id"] for model in page["data"]] == ["Qwen/Qwen2-0.5B", "tiny"]
    qwen, tiny = page["data"]
    assert {key: qwen[key] for key in ("object", "owned_by")} == {
        "object": "model",
        "owned_by": "Qwen",
    }
    assert isinstance(qwen["created"], int)
    assert qwen["created"] > 1_500_000_000
    facts = QWEN.model_dump(exclude={"name"})
    assert {key: qwen[key] for key in facts} == facts
    assert [(worker["id"], worker["live"]) for worker in qwen["workers"]] == [
        ("w1", True),
        ("w2", True),
    ]
    assert (tiny["owned_by"], tiny["checked"], tiny["max_length"]) == ("local", True, None)
    assert player.get("/v1/models/Qwen/Qwen2-0.5B") == qwen
    assert player.get("/v1/models/tiny") == tiny
    missing = player.client.get("/v1/models/Qwen/other")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_listed")


def test_a_worker_of_an_earlier_version_is_listed_with_its_names_only(player: Player) -> None:
    player.hello(worker_id="old", models=["tiny-qwen2"])

    (model,) = player.get("/v1/models")["data"]

    assert (model["id"], model["checked"], model["parameters"]) == ("tiny-qwen2", False, None)
    assert plan_of(player, model="tiny-qwen2", training={"max_length": 1_000_000})["valid"]


def test_a_new_report_replaces_the_earlier_one_but_keeps_when_a_model_was_first_seen(
    player: Player, database: Database
) -> None:
    announce(player, QWEN, ModelFacts(name="gone"))
    created = player.get("/v1/models/Qwen/Qwen2-0.5B")["created"]

    announce(player, QWEN.model_copy(update={"license": "mit"}), ModelFacts(name="new"))

    models = {model["id"]: model for model in player.get("/v1/models")["data"]}
    assert set(models) == {"Qwen/Qwen2-0.5B", "new"}
    assert models["Qwen/Qwen2-0.5B"]["license"] == "mit"
    assert models["Qwen/Qwen2-0.5B"]["created"] == created


def test_a_report_needs_an_earlier_hello(player: Player) -> None:
    response = player.post_models("stranger", QWEN)

    assert (response.status_code, response.json()["error"]["code"]) == (404, "worker_not_found")
    assert player.get("/v1/models")["data"] == []


def test_the_list_says_whether_other_ids_are_accepted(player: Player, database: Database) -> None:
    assert player.get("/v1/models")["accepts_other_ids"] is True, "no worker is live"
    announce(player, QWEN)
    assert player.get("/v1/models")["accepts_other_ids"] is False
    assert player.get("/v1/models", queue="other")["data"] == []
    assert player.get("/v1/models", queue="other")["accepts_other_ids"] is True
    announce(player, hub=True, worker="w2")
    assert player.get("/v1/models")["accepts_other_ids"] is True

    with database.writing() as session:
        past = database_now(session) - timedelta(seconds=LIVE_SECONDS + 1)
        session.execute(update(Worker).values(last_seen_at=past))
    (model,) = player.get("/v1/models")["data"]
    assert (model["available"], model["workers"][0]["live"]) == (False, False)


def test_a_plan_shows_what_is_known_about_the_model(player: Player) -> None:
    announce(player, QWEN, hub=True)

    known = plan_of(player)["model"]
    other = plan_of(player, model="qwen/qwen2-0.5b-instruct")["model"]
    far = plan_of(player, model="somebody/else")["model"]

    assert (known["checked"], known["max_length"], known["similar_id"]) == (True, 32_768, None)
    assert (other["checked"], other["architecture"]) == (False, None)
    assert other["similar_id"] == "Qwen/Qwen2-0.5B"
    assert far["similar_id"] is None


@pytest.mark.parametrize("hub", [False, True])
def test_a_job_longer_than_the_models_context_is_rejected_with_the_bound(
    player: Player, hub: bool
) -> None:
    announce(player, QWEN, hub=hub)

    planned = plan_of(player, training={"max_length": 100_000})
    posted = player.post_job(model=QWEN.name, training={"max_length": 100_000})

    assert posted.status_code == 400
    assert posted.json() == planned
    assert problems_of(planned) == [("training.max_length", "beyond_context")]
    assert "must be at most 32768" in planned["error"]["message"]
    assert "(got 100000)" in planned["error"]["message"]
    assert planned["error"]["hint"] == "Set training.max_length to 32768 or less."
    assert plan_of(player, training={"max_length": 32_768})["valid"]


def test_a_misspelled_target_module_is_rejected_with_the_nearest_name(player: Player) -> None:
    announce(player, QWEN)

    refused = plan_of(player, lora={"target_modules": ["q_prj", "v_proj"]})

    assert problems_of(refused) == [("lora.target_modules", "unknown_module")]
    assert "k_proj, o_proj, q_proj, v_proj" in refused["error"]["message"]
    assert '(got "q_prj")' in refused["error"]["message"]
    assert refused["error"]["hint"] == "Did you mean q_proj?"
    for valid in ("all-linear", ["q_proj"], ["layers.0.self_attn.q_proj"]):
        assert plan_of(player, lora={"target_modules": valid})["valid"]


def test_all_settings_that_do_not_fit_the_model_are_reported_together(player: Player) -> None:
    announce(player, QWEN)
    both = {"training": {"max_length": 40_000}, "lora": {"target_modules": ["mlp"]}}

    refused = plan_of(player, **both)
    chinese = player.client.post(
        "/v1/jobs",
        json={"model": QWEN.name, "dataset": {"train": player.upload()}} | both,
        headers={"Accept-Language": "zh"},
    ).json()

    expected = [
        ("training.max_length", "beyond_context"),
        ("lora.target_modules", "unknown_module"),
    ]
    assert problems_of(refused) == problems_of(chinese) == expected
    assert "最大上下文长度" in chinese["error"]["message"]


@pytest.mark.parametrize(
    "other",
    [
        QWEN.model_copy(update={"max_length": 200_000, "linear_modules": ["q_prj"]}),
        QWEN.model_copy(update={"max_length": None, "linear_modules": None}),
        None,
    ],
    ids=["a copy that fits", "a copy whose files do not tell", "a worker that downloads"],
)
def test_a_job_is_accepted_if_another_worker_could_run_it(
    player: Player, other: ModelFacts | None
) -> None:
    announce(player, QWEN)
    announce(player, *([] if other is None else [other]), hub=other is None, worker="w2")
    beyond = {"training": {"max_length": 100_000}, "lora": {"target_modules": ["q_prj"]}}

    assert plan_of(player, **beyond)["valid"]
    assert plan_of(player, queue="elsewhere", **beyond)["valid"], "no worker of the queue is live"


@pytest.mark.parametrize("wrong", ["qwen2-0.5b", "Qwen/Qwen2-05B", "QWEN/QWEN2-0.5B"])
def test_a_wrong_model_id_gets_a_suggestion(player: Player, wrong: str) -> None:
    announce(player, QWEN, ModelFacts(name="tiny"))

    error = plan_of(player, model=wrong)["error"]

    assert (error["param"], error["code"]) == ("model", "model_not_found")
    assert error["hint"].startswith("Did you mean Qwen/Qwen2-0.5B? Available models: ")
