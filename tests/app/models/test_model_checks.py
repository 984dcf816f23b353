"""A new job is checked against what the workers report about its model."""

from typing import Any

import pytest

from contracts.model_facts import ModelFacts
from tests.app.models.test_models import QWEN, announce, plan_of, problems_of
from tests.app.player import Player


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


def test_target_module_paths_are_matched_as_in_peft(player: Player) -> None:
    paths = [f"model.layers.0-23.self_attn.{name}_proj" for name in "koqv"]
    announce(player, QWEN.model_copy(update={"module_paths": paths}))

    valid = ["q_proj", "self_attn.v_proj", "0.self_attn.q_proj", "model.layers.23.self_attn.k_proj"]
    assert plan_of(player, lora={"target_modules": valid})["valid"]
    for wrong, near in {
        "self_atn.q_proj": "self_attn.q_proj",
        "layers.24.self_attn.q_proj": "layers.23.self_attn.q_proj",
        "layers.3.self_attn.q_prj": "layers.3.self_attn.q_proj",
        "layers.0.q_prj": "q_proj",
        "mlp.q_proj": "self_attn.q_proj",
        "self_attn": None,
        "roj": None,
    }.items():
        refused = plan_of(player, lora={"target_modules": ["v_proj", wrong]})
        assert problems_of(refused) == [("lora.target_modules", "unknown_module")], wrong
        assert f'(got "{wrong}")' in refused["error"]["message"]
        if near:
            assert refused["error"]["hint"] == f"Did you mean {near}?"


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
    ],
    ids=["a copy that fits", "a copy with unknown facts"],
)
def test_a_job_is_accepted_if_another_worker_could_run_it(
    player: Player, other: ModelFacts
) -> None:
    announce(player, QWEN)
    announce(player, other, worker="w2")
    beyond = {"training": {"max_length": 100_000}, "lora": {"target_modules": ["q_prj"]}}

    assert plan_of(player, **beyond)["valid"]
    assert plan_of(player, queue="elsewhere", **beyond)["valid"], "no worker of the queue is live"


COMMIT, OTHER_COMMIT = "a" * 40, "b" * 40
LOCAL: dict[str, Any] = {"revision": None}
CACHED: dict[str, Any] = {"revision": COMMIT}


@pytest.mark.parametrize(
    ("copy", "pinned", "is_rejected"),
    [
        (LOCAL, None, False),
        (CACHED, None, True),
        (CACHED | {"is_main": True}, None, True),
        (CACHED | {"is_main": False}, None, False),
        (CACHED | {"is_main": False}, COMMIT, True),
        (CACHED, COMMIT, True),
        (CACHED, OTHER_COMMIT, False),
        (LOCAL, OTHER_COMMIT, False),
    ],
)
def test_a_worker_that_may_download_counts_as_having_the_cached_copy_of_the_commit_that_the_job_uses(
    player: Player, copy: dict[str, Any], pinned: str | None, is_rejected: bool
) -> None:
    announce(player, QWEN.model_copy(update=copy), hub=copy["revision"] is not None)
    announce(player, hub=True, worker="w2")

    planned = plan_of(player, training={"max_length": 100_000}, model_revision=pinned)

    if is_rejected:
        assert problems_of(planned) == [("training.max_length", "beyond_context")]
    else:
        assert planned["valid"]


def test_a_copy_that_its_worker_has_not_read_may_fit_any_job(player: Player) -> None:
    announce(player, QWEN)
    player.hello(worker_id="old", models=[QWEN.name])

    assert plan_of(player, training={"max_length": 100_000})["valid"]


@pytest.mark.parametrize("wrong", ["qwen2-0.5b", "Qwen/Qwen2-05B", "QWEN/QWEN2-0.5B"])
def test_a_wrong_model_id_gets_a_suggestion(player: Player, wrong: str) -> None:
    announce(player, QWEN, ModelFacts(name="tiny"))

    error = plan_of(player, model=wrong)["error"]

    assert (error["param"], error["code"]) == ("model", "model_not_found")
    assert error["hint"].startswith("Did you mean Qwen/Qwen2-0.5B? Available models: ")
