"""Jobs with several training datasets: checks, counts, claims, and the workers that may run them."""

from typing import Any

import pytest

from contracts.attempt import Ability
from contracts.protocol.wire import DATASET_PATH
from tests.app.bellringer import Bellringer
from tests.app.datasets.review.uploads import alpaca, upload
from tests.app.player import Player

ABLE = {"abilities": [Ability.MIX_DATASETS.value]}


def mixture(*parts: tuple[str, float], **other: Any) -> dict[str, Any]:
    return {"train": [{"dataset": each, "weight": weight} for each, weight in parts], **other}


def error_of(player: Player, dataset: dict[str, Any], language: str = "en") -> Any:
    response = player.post_job(headers={"Accept-Language": language}, dataset=dataset)
    assert response.status_code == 400, response.text
    return response.json()["error"]


def test_the_plan_counts_each_row_as_often_as_its_weight_says(player: Player) -> None:
    first, second = player.upload(21), player.upload(41, "b")
    dataset = mixture((first, 2), (second, 0.5), eval_size=6)

    response = player.client.post(
        "/v1/jobs?dry_run=true", json={"model": "tiny-qwen2", "dataset": dataset}
    )

    plan = response.json()
    # Of the 6 held-out rows, 2 are from the first dataset and 4 from the second.
    assert (plan["train_rows"], plan["eval_rows"]) == (2 * 19 + 19, 6)
    assert plan["forecast"]["tokens"]["per_row"]["value"] > 0
    assert plan["spec"]["dataset"]["train"][1] == {"dataset": second, "weight": 0.5}


def test_the_plan_warns_of_a_dataset_of_which_almost_no_row_is_used(player: Player) -> None:
    small, large = player.upload(3), player.upload(401, "b")

    def warnings_for(dataset: dict[str, Any], **training: Any) -> dict[str, tuple[str, str]]:
        body = {"model": "tiny-qwen2", "dataset": dataset, "training": training}
        plan = player.client.post("/v1/jobs?dry_run=true", json=body).json()
        return {
            each["code"]: (each["param"], each["message"])
            for each in plan["data_warnings"]
            if each["code"] in {"weight_too_small", "too_few_steps"}
        }

    assert warnings_for(mixture((small, 1), (large, 1))) == {}
    tiny = warnings_for(mixture((small, 1), (large, 0.001), eval_size=1))
    assert tiny.keys() == {"weight_too_small"}
    assert tiny["weight_too_small"][0] == "dataset.train[1].dataset"
    assert f"only 1 of the 400 training rows of {large}" in tiny["weight_too_small"][1]
    short = warnings_for(mixture((small, 1), (large, 1)), max_steps=2)
    assert short.keys() == {"too_few_steps"}
    assert f"no row of {small}: its 2 steps use 32 of the" in short["too_few_steps"][1]
    assert warnings_for(mixture((small, 5), (large, 0.1)), max_steps=2) == {}


@pytest.mark.parametrize(
    ("train", "param", "code"),
    [
        ([], "dataset.train", "too_few"),
        ([{"dataset": "{first}"}], "dataset.train", "too_few"),
        ([{"dataset": "{first}"}] * 17, "dataset.train", "too_many"),
        ([{"dataset": "{first}"}, {"dataset": "{first}"}], "dataset.train", "duplicate_dataset"),
        (
            [{"dataset": "{first}"}, {"dataset": "x"}],
            "dataset.train[1].dataset",
            "invalid_dataset_id",
        ),
        ([{"dataset": "{first}"}, "{first}"], "dataset.train[1]", "not_an_object"),
        (
            [{"dataset": "{first}", "weight": 0}, {"dataset": "{other}"}],
            "dataset.train[0].weight",
            "too_small",
        ),
        (
            [{"dataset": "{first}", "weight": 101}, {"dataset": "{other}"}],
            "dataset.train[0].weight",
            "too_large",
        ),
        (
            [{"dataset": "{first}", "share": 1}, {"dataset": "{other}"}],
            "dataset.train[0].share",
            "unknown_field",
        ),
        ([{"weight": 1}, {"dataset": "{other}"}], "dataset.train[0].dataset", "required"),
    ],
)
def test_an_invalid_mixture_is_rejected_with_the_place_and_the_reason(
    player: Player, train: list[Any], param: str, code: str
) -> None:
    names = {"{first}": "ds_01234567", "{other}": "ds_89abcdef"}

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fill(inner) for key, inner in value.items()}
        return names.get(value, value)

    for language in ("en", "zh"):
        error = error_of(player, {"train": [fill(each) for each in train]}, language)

        assert (error["code"], error["param"]) == ("invalid_field", param)
        assert error["errors"][0]["code"] == code


def test_an_unknown_dataset_in_a_mixture_is_named(player: Player) -> None:
    error = error_of(player, mixture((player.upload(3), 1), ("ds_00000000", 1)))

    assert (error["code"], error["param"]) == ("dataset_not_found", "dataset.train[1].dataset")


def test_each_dataset_keeps_a_row_to_train_on(player: Player) -> None:
    first, second = player.upload(1), player.upload(40, "b")
    player.submit(dataset=mixture((first, 1), (second, 1), eval_size=39))

    error = error_of(player, mixture((first, 1), (second, 1), eval_size=40))

    assert (error["code"], error["param"]) == ("no_training_rows_of_dataset", "dataset.eval_size")
    assert "1 + 40 rows" in error["message"]


def test_a_claim_contains_every_dataset_and_its_attempt_can_download_them(player: Player) -> None:
    first, second, separate = player.upload(3), player.upload(5, "b"), player.upload(4, "c")
    unused = player.upload(6, "d")
    player.submit(dataset=mixture((first, 2), (second, 0.5), eval=separate))

    claim = player.claim(**ABLE)

    assert claim.train is None
    assert [file.rows for file in claim.mixed] == [3, 5]  # type: ignore[union-attr]  # uploaded
    assert [part.weight for part in claim.spec.dataset.parts] == [2, 0.5]
    for dataset, status in ((first, 200), (second, 200), (separate, 200), (unused, 404)):
        url = DATASET_PATH.format(attempt_id=claim.attempt_id, dataset_id=dataset)
        headers = {"Authorization": f"Bearer {claim.token}"}
        assert player.client.get(url, headers=headers).status_code == status


def test_a_mixed_job_waits_for_a_worker_that_can_mix(player: Player) -> None:
    player.hello(worker_id="old")
    mixed = player.submit(dataset=mixture((player.upload(3), 1), (player.upload(5, "b"), 1)))

    assert player.post_claim(worker_id="old").status_code == 204
    waiting = player.job(mixed)["waiting"]
    assert waiting["code"] == "workers_cannot_mix"
    assert "Upgrade the workers" in waiting["message"]

    plain = player.submit()
    assert player.claim(worker_id="old").job_id == plain
    player.hello(worker_id="new", **ABLE)
    assert player.job(mixed)["waiting"] is None
    assert player.claim(worker_id="new", **ABLE).job_id == mixed


def test_a_worker_that_cannot_mix_passes_the_ring_on_if_another_one_can(
    player: Player, bell: Bellringer
) -> None:
    for name in ("old", "older"):
        player.hello(worker_id=name)
    player.submit(dataset=mixture((player.upload(3), 1), (player.upload(5, "b"), 1)))
    bell.rung.clear()

    assert player.post_claim(worker_id="old").status_code == 204
    assert bell.rung == [], "no worker can start the job"
    player.hello(worker_id="new", **ABLE)
    assert player.post_claim(worker_id="old").status_code == 204
    assert len(bell.rung) == 2, "either of the other workers may take a ring"


def test_the_dry_run_warns_about_rows_in_several_datasets_and_in_the_evaluation(
    player: Player,
) -> None:
    first = upload(player, alpaca(*range(20)))["id"]
    second = upload(player, alpaca(*range(15, 40)))["id"]
    third = upload(player, alpaca(*range(50, 60), 50, 51))["id"]
    separate = upload(player, alpaca(19, 20, 21, 70))["id"]

    def warnings(language: str = "en", **other: Any) -> list[Any]:
        body = {
            "model": "tiny-qwen2",
            "dataset": mixture((first, 1), (second, 2), (third, 1), **other),
        }
        headers = {"Accept-Language": language}
        response = player.client.post("/v1/jobs?dry_run=true", json=body, headers=headers)
        assert response.status_code == 200, response.text
        return list(response.json()["data_warnings"])

    duplicates, shared, overlap = warnings(eval=separate)
    assert (duplicates["param"], duplicates["code"]) == ("dataset.train[2].dataset", "duplicates")
    assert (shared["param"], shared["code"], shared["rows"]) == (
        "dataset.train[1].dataset",
        "rows_in_several_datasets",
        5,
    )
    assert second in shared["message"]
    assert second in warnings("zh", eval=separate)[1]["message"]
    assert (overlap["param"], overlap["code"], overlap["rows"]) == (
        "dataset.eval",
        "evaluation_rows_in_training",
        3,
    )
    assert [each["code"] for each in warnings(eval_size=30)] == [
        "duplicates",
        "rows_in_several_datasets",
        "held_out_copies",
    ]


def test_a_dataset_of_an_unfinished_mixed_job_cannot_be_deleted(player: Player) -> None:
    first, second = player.upload(3), player.upload(5, "b")
    job = player.submit(dataset=mixture((first, 1), (second, 1)))

    refused = player.client.delete(f"/v1/datasets/{second}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "dataset_in_use")

    player.client.post(f"/v1/jobs/{job}/cancel")
    assert player.client.delete(f"/v1/datasets/{second}").status_code == 200
    gone = player.client.post(f"/v1/jobs/{job}/retry")
    assert (gone.status_code, gone.json()["error"]["code"]) == (409, "dataset_gone")

    assert player.upload(5, "b") == second
    assert player.client.post(f"/v1/jobs/{job}/retry").status_code == 200
    assert player.client.delete(f"/v1/datasets/{second}").status_code == 409
