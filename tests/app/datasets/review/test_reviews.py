"""Stored reviews: on request, after deletions, and in the plan of a job."""

from typing import Any

from sqlalchemy import delete, func, select, update

from app.db.engine import Database
from app.db.tables import DatasetReview
from tests.app.datasets.review.uploads import TOKEN_ROW, alpaca, jsonl, upload
from tests.app.player import Player


def plan(player: Player, **dataset: Any) -> Any:
    body = {"model": "tiny-qwen2", "dataset": dataset}
    response = player.client.post("/v1/jobs?dry_run=true", json=body)
    assert response.status_code == 200, response.text
    return response.json()["data_warnings"]


def test_a_dataset_of_an_earlier_version_is_reviewed_on_request(
    player: Player, database: Database
) -> None:
    stored = upload(player, alpaca(1) + "\n" + jsonl(TOKEN_ROW))
    with database.writing() as session:
        session.execute(delete(DatasetReview))
    path = f"/v1/datasets/{stored['id']}"
    assert player.get(path)["review"] is None

    review = player.get(path + "/review")

    (place,) = review["warnings"][0]["places"]
    assert (place["row"], place["line"], place["field"]) == (2, None, "output")
    assert player.get(path)["review"] == review


def test_a_review_by_older_rules_is_replaced_on_request(player: Player, database: Database) -> None:
    stored = upload(player, jsonl(TOKEN_ROW))
    with database.writing() as session:
        session.execute(update(DatasetReview).values(rules=0, review={}))

    assert player.get(f"/v1/datasets/{stored['id']}")["review"] is None
    made = player.get(f"/v1/datasets/{stored['id']}/review")
    assert made["statistics"] == stored["review"]["statistics"]
    assert player.get(f"/v1/datasets/{stored['id']}")["review"] == made


def test_a_review_is_deleted_with_its_dataset(player: Player, database: Database) -> None:
    stored = upload(player, alpaca(1))

    assert player.client.delete(f"/v1/datasets/{stored['id']}").status_code == 200

    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(DatasetReview)) == 0


def test_the_review_of_an_unknown_dataset_is_not_found(player: Player) -> None:
    for name in ("ds_0123456789abcdef01234567", "x" * 300, "ds_%00"):
        response = player.client.get(f"/v1/datasets/{name}/review")
        assert (response.status_code, response.json()["error"]["code"]) == (
            404,
            "dataset_not_found",
        )


def test_a_dry_run_counts_evaluation_rows_that_are_also_training_rows(player: Player) -> None:
    train = upload(player, alpaca(*range(30)))["id"]
    separate = upload(player, alpaca(*range(28, 40)))["id"]
    disjoint = upload(player, alpaca(*range(50, 60)))["id"]

    (warning,) = plan(player, train=train, eval=separate)
    assert (warning["param"], warning["code"], warning["rows"]) == (
        "dataset.eval",
        "evaluation_rows_in_training",
        2,
    )
    assert "2 of 12" in warning["message"]
    assert plan(player, train=train, eval=disjoint) == []
    assert [each["rows"] for each in plan(player, train=train, eval=train)] == [30]


def test_a_dry_run_warns_about_duplicates_that_a_split_separates(player: Player) -> None:
    train = upload(player, alpaca(*range(10), *range(10)))["id"]

    duplicates, copies = plan(player, train=train, eval_size=4)

    assert (duplicates["code"], duplicates["rows"]) == ("duplicates", 10)
    assert (copies["code"], copies["rows"]) == ("held_out_copies", 4)


def test_a_new_job_records_evaluation_rows_that_are_also_training_rows(player: Player) -> None:
    train = upload(player, alpaca(*range(30)))["id"]
    separate = upload(player, alpaca(*range(28, 40)))["id"]

    job = player.submit(dataset={"train": train, "eval": separate})

    events = player.get(f"/v1/jobs/{job}/events")["data"]
    found = [each for each in events if each["code"] == "evaluation_rows_in_training"]
    assert [(each["level"], each["data"]["rows"]) for each in found] == [("warning", 2)]
    assert "also training rows: 2" in found[0]["message"]
