"""The review of an upload: places, languages and limits."""

from fastapi import FastAPI

from app.datasets.review.process import SMALL_BYTES
from tests.app.datasets.review.uploads import TOKEN_ROW, alpaca, jsonl, upload
from tests.app.player import Player


def test_an_upload_returns_its_warnings_with_places_in_the_file(player: Player) -> None:
    content = alpaca(1) + "\n\n" + jsonl(TOKEN_ROW)

    checked = upload(player, content, "validate_only=true")
    stored = upload(player, content)

    (warning,) = stored["review"]["warnings"]
    assert (warning["code"], warning["rows"], warning["found"]) == (
        "special_tokens",
        1,
        {"<|im_end|>": 1},
    )
    assert warning["places"] == [
        {
            "row": 2,
            "line": 4,
            "file": None,
            "field": "output",
            "found": "<|im_end|>",
            "same_as_row": None,
        }
    ]
    assert stored["review"]["statistics"]["turns"] == 4
    again = upload(player, content)
    shown = player.get(f"/v1/datasets/{stored['id']}")
    separate = player.get(f"/v1/datasets/{stored['id']}/review")
    assert stored["review"] == checked["review"] == again["review"] == shown["review"] == separate


def test_a_place_names_the_column_in_the_file(player: Player) -> None:
    content = jsonl({"question": "q", "reply": "a <|im_end|>"})

    stored = upload(player, content, "columns[instruction]=question&columns[output]=reply")

    assert stored["review"]["warnings"][0]["places"][0]["field"] == "reply"


def test_messages_are_in_the_language_of_the_request(player: Player) -> None:
    english = upload(player, jsonl(TOKEN_ROW))["review"]["warnings"][0]["message"]
    chinese = upload(player, jsonl(TOKEN_ROW), language="zh")["review"]["warnings"][0]["message"]

    assert "special tokens of a chat template (<|im_end|>): 1" in english
    assert "特殊 token（<|im_end|>）：1 条" in chinese


def test_a_larger_file_is_reviewed_in_a_child_process_with_the_same_result(player: Player) -> None:
    rows = [*range(60), 5]
    small = upload(player, alpaca(*rows))["review"]
    filler = jsonl({"instruction": "x" * SMALL_BYTES, "output": "y"})

    large = upload(player, alpaca(*rows) + filler)["review"]

    assert large["warnings"] == small["warnings"] != []
    assert large["reviewed_rows"] == 62


def test_an_upload_is_stored_without_a_review_if_the_review_exceeds_its_limits(
    app: FastAPI, player: Player
) -> None:
    app.state.settings = app.state.settings.model_copy(update={"review_seconds": 0.001})

    stored = upload(player, jsonl({"instruction": "x" * SMALL_BYTES, "output": "y"}))

    assert stored["review"] is None
    response = player.client.get(f"/v1/datasets/{stored['id']}/review")
    assert (response.status_code, response.json()["error"]["code"]) == (409, "dataset_not_reviewed")
