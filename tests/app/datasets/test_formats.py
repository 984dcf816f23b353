"""Uploads in every format and with chosen columns, and their validation when a job is submitted."""

import hashlib
import json
from typing import Any

from httpx2 import Response
from sqlalchemy import update

from app.config.settings import Settings
from app.db.engine import Database
from app.db.tables import Dataset
from contracts.model_facts import ModelFacts, TemplateFacts
from tests.app.models.test_models import announce, problems_of
from tests.app.player import Player

ASK = {"from": "human", "value": "天气？"}
CALL = {"from": "function_call", "value": '{"name": "weather", "arguments": {}}'}
SEEN = {"from": "observation", "value": "晴"}
TOOLS = {
    "conversations": [ASK, CALL, SEEN, {"from": "gpt", "value": "晴。"}],
    "tools": '[{"name": "weather"}]',
}
LATE = ("user", "assistant", "system", "user", "assistant")
PAIR = {"prompt": "a", "chosen": "b", "rejected": "c"}
QUESTION = {"question": "q", "answer": "a", "text": "t", "output": "old"}


def post(player: Player, *rows: Any, query: str = "", **headers: str) -> Response:
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return player.client.post(
        f"/v1/datasets?{query}", files={"file": ("rows.jsonl", content.encode())}, headers=headers
    )


def plan(player: Player, response: Response, **dataset: Any) -> Any:
    body = {"model": "m", "dataset": {"train": response.json()["id"]} | dataset}
    return player.client.post("/v1/jobs?dry_run=true", json=body).json()


def test_an_upload_counts_its_formats_and_the_template_features_that_its_rows_need(
    player: Player,
) -> None:
    weighted = {"messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "weight": 0},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "d", "reasoning_content": "hm"},
    ]}  # fmt: skip
    rows = [
        TOOLS,
        PAIR,
        weighted,
        {"text": "从前"},
        {"text": ""},
        {"prompt": "a", "completion": "b", "label": False},
    ]

    dataset = post(player, *rows).json()

    assert dataset["forms"] == {"sharegpt": 1, "preference": 1, "messages": 1, "text": 2, "kto": 1}
    assert dataset["features"] == {
        "roles": {"user": 3, "assistant": 3, "tool": 1},
        "tools": 1,
        "tool_calls": 1,
        "parallel_calls": 0,
        "reasoning_content": 1,
        "late_system": 0,
        "assistant_first": 0,
        "repeated_user": 0,
        "repeated_assistant": 0,
        "weights": 1,
        "untrained": 2,
    }
    assert dataset["columns"] is None
    turns = dataset["preview"][0]["messages"]
    assert turns[1]["tool_calls"] == ["weather({})"]
    assert [turn["trained"] for turn in dataset["preview"][2]["messages"]] == [
        None,
        False,
        None,
        True,
    ]


def test_uploading_again_counts_the_features_that_an_earlier_version_did_not_count(
    player: Player, database: Database
) -> None:
    row = {"messages": [{"role": "assistant", "content": "a"}]}
    first = post(player, row).json()
    with database.writing() as session:
        session.execute(update(Dataset).values(features={"roles": {"assistant": 1}}))

    again = post(player, row).json()

    assert first["features"]["assistant_first"] == 1
    assert (again["id"], again["features"]) == (first["id"], first["features"])


def test_empty_answers_are_a_warning_unless_every_answer_is_empty(player: Player) -> None:
    empty = {"instruction": "Say nothing.", "output": ""}

    accepted = post(player, empty, {"instruction": "a", "output": "b"}).json()
    refused = post(player, empty, empty).json()["error"]

    assert (accepted["rows"], accepted["features"]["untrained"]) == (2, 0)
    (warning,) = accepted["review"]["warnings"]
    assert (warning["code"], warning["rows"]) == ("empty_answers", 1)
    assert warning["places"][0]["field"] == "output"
    assert (refused["code"], refused["param"]) == ("dataset_invalid", "file")
    assert "row 1, line 1: its answer is empty, as in every row" in refused["message"]


def test_choosing_columns_creates_another_dataset_whose_rows_need_no_mapping(
    player: Player, settings: Settings
) -> None:
    plain = post(player, QUESTION)
    mapped = post(player, QUESTION, query="columns[prompt]=question&columns[completion]=answer")
    formatted = post(
        player, QUESTION, query="columns[instruction]=question&columns[output]=answer&format=alpaca"
    )
    again = post(
        player, QUESTION, query="format=alpaca&columns[output]=answer&columns[instruction]=question"
    )

    assert [each.status_code for each in (plain, mapped, formatted, again)] == [201, 201, 201, 200]
    assert again.json() == formatted.json()
    ids = [each.json()["id"] for each in (plain, mapped, formatted)]
    assert len(set(ids)) == 3
    sha256 = hashlib.sha256((json.dumps(QUESTION) + "\n").encode()).hexdigest()
    assert {each.json()["sha256"] for each in (plain, mapped, formatted)} == {sha256}
    assert ids[0] == f"ds_{sha256[:24]}"
    assert [list(each.json()["forms"]) for each in (plain, mapped, formatted)] == [
        ["text"],
        ["prompt"],
        ["alpaca"],
    ]
    assert formatted.json()["columns"] == {
        "format": "alpaca",
        "columns": {"output": "answer", "instruction": "question"},
    }
    stored = [next((settings.data_dir / "datasets").glob(f"{each}*")).read_text() for each in ids]
    assert [json.loads(text) for text in stored] == [
        QUESTION,
        {"prompt": "q", "completion": "a", "text": "t", "output": "old"},
        {"instruction": "q", "output": "a"},
    ]


def test_labels_of_prompts_that_are_all_ratings_are_kto_labels(player: Player) -> None:
    labelled: dict[str, Any] = {"prompt": "a", "completion": "b"}
    for values in ((1, 0), ("true", "False"), (1.0, False), ("1", "0")):
        rows = [labelled | {"label": value} for value in values]

        dataset = post(player, *rows).json()

        assert (dataset["forms"], dataset["features"]["untrained"]) == ({"kto": 2}, 1)
    assert post(player, *rows, query="format=prompt").json()["forms"] == {"prompt": 2}
    table = {"file": ("rows.csv", b"prompt,completion,label\na,b,1\nc,d,0\n")}
    dataset = player.client.post("/v1/datasets", files=table).json()
    assert (dataset["forms"], dataset["features"]["untrained"]) == ({"kto": 2}, 1)


def test_labels_that_are_not_all_ratings_are_classes(player: Player, settings: Settings) -> None:
    rows = [{"prompt": "a", "completion": "b", "label": value} for value in (1, 0, 2)]

    dataset = post(player, *rows).json()
    alpaca = post(player, {"instruction": "a", "output": "b", "label": 1}).json()

    assert (dataset["forms"], alpaca["forms"]) == ({"prompt": 3}, {"alpaca": 1})
    (stored,) = (settings.data_dir / "datasets").glob(f"{dataset['id']}*")
    assert [json.loads(line) for line in stored.read_text().splitlines()] == rows


def test_kto_labels_may_be_text_if_the_format_is_chosen(player: Player) -> None:
    rows = [{"prompt": "a", "completion": "b", "good": value} for value in ("True", "false", 1, 0)]

    labelled = post(player, *rows, query="format=kto&columns[label]=good")

    assert labelled.json()["forms"] == {"kto": 4}
    assert labelled.json()["features"]["untrained"] == 2
    wrong = post(player, rows[0] | {"good": "maybe"}, query="format=kto&columns[label]=good")
    assert "good must be true (the answer is good) or false" in wrong.json()["error"]["message"]


def test_either_name_of_the_kto_label_may_be_chosen(player: Player) -> None:
    rows = [{"prompt": "a", "completion": "b", "kto_tag": value} for value in ("True", "false")]
    renamed = [{"prompt": "a", "completion": "b", "good": row["kto_tag"]} for row in rows]

    for response in (
        post(player, *rows, query="format=kto"),
        post(player, *renamed, query="format=kto&columns[kto_tag]=good"),
    ):
        assert response.json()["forms"] == {"kto": 2}
        assert response.json()["features"]["untrained"] == 1
    wrong = post(player, {"prompt": "a", "completion": "b"}, query="format=kto").json()["error"]
    assert "label is missing" in wrong["message"]


def test_a_mapped_optional_column_may_be_absent_from_some_rows_but_not_from_all(
    player: Player,
) -> None:
    rows = [QUESTION, QUESTION | {"context": "c"}]
    query = "format=alpaca&columns[instruction]=question&columns[output]=answer&columns[input]="

    mapped = post(player, *rows, query=query + "context")
    misspelled = post(player, *rows, query=query + "contxt").json()["error"]

    assert mapped.json()["preview"][1]["messages"][0]["content"] == "q\nc"
    assert (misspelled["code"], misspelled["param"]) == ("column_not_found", "columns[input]")
    assert "'contxt'" in misspelled["message"]
    assert "question, answer, text, output" in misspelled["hint"]


WRONG_CHOICES = [
    ("format=alpacca", "format", "'alpaca', 'prompt'"),
    ("columns[promt]=question", "columns[promt]", "'prompt'"),
    ("columns[text]=question&format=alpaca", "columns[text]", "'instruction'"),
    ("columns[prompt]=", "columns[prompt]", "1 or more characters"),
    ("columns=question", "columns", "'prompt'"),
    (
        "columns[prompt]=nothing&columns[completion]=answer",
        "file",
        "line 1: nothing is missing",
    ),
    (
        "columns[prompt]=question&columns[completion]=n",
        "file",
        "n is a number; it must be a string",
    ),
    ("format=sharegpt", "file", "line 1: conversations is missing"),
    ("format=preference", "file", "no known format"),
]


def test_a_choice_that_cannot_be_applied_is_rejected(player: Player) -> None:
    for query, param, words in WRONG_CHOICES:
        error = post(player, QUESTION | {"n": 5}, query=query).json()["error"]

        assert error["param"] == param
        assert words in error["message"]
        if param == "columns[promt]":
            assert error["hint"] == "Did you mean prompt?"


def test_labels_that_are_all_zero_are_a_class(player: Player) -> None:
    rows = [{"prompt": str(number), "completion": "b", "label": 0} for number in range(3)]

    dataset = post(player, *rows).json()

    assert (dataset["forms"], dataset["rows"]) == ({"prompt": 3}, 3)
    assert dataset["features"]["untrained"] == 0
    with_good = post(player, *rows, rows[0] | {"label": 1}).json()
    assert (with_good["forms"], with_good["features"]["untrained"]) == ({"kto": 4}, 3)


def test_rated_rows_need_a_preference(player: Player) -> None:
    player.hello(models=["m"])
    for rated in (PAIR, {"prompt": "a", "completion": "b", "label": True}):
        dataset = post(player, rated, PAIR | {"prompt": "other"})

        refused = plan(player, dataset)
        assert problems_of(refused) == [("dataset.preference", "preference_required")]
        assert "must be 'chosen_only', because ds_" in refused["error"]["message"]
        assert "; rows: 2). Training then uses" in refused["error"]["message"]
        assert "?format=prompt" in refused["error"]["message"]
        assert plan(player, dataset, preference="chosen_only")["train_rows"] == 1
        wrong = plan(player, dataset, preference="dpo")
        assert problems_of(wrong) == [("dataset.preference", "not_an_option")]


def test_rows_that_are_not_trained_do_not_count_in_the_plan(player: Player) -> None:
    player.hello(models=["m"])
    good = {"prompt": "a", "completion": "b", "label": True}
    rows = [good | {"prompt": str(number), "label": number % 2 == 0} for number in range(200)]

    planned = plan(player, post(player, *rows), preference="chosen_only")
    documents = plan(player, post(player, {"text": "a"}, {"text": "b"}))

    assert (planned["train_rows"], planned["eval_rows"]) == (98, 2)
    assert (documents["train_rows"], documents["steps"], documents["evaluation"]) == (1, None, None)


def test_a_template_that_cannot_render_the_rows_is_reported_at_submission(player: Player) -> None:
    every = ["system", "developer", "user", "assistant", "tool"]
    can = TemplateFacts(roles=every, tools=True, tool_calls=True, reasoning_content=True)
    plain = TemplateFacts(roles=every, tools=False, tool_calls=False, reasoning_content=False)
    strict = TemplateFacts(roles=every[2:4], tools=True, tool_calls=True, reasoning_content=False)
    dataset = post(player, TOOLS, TOOLS)

    for template, what in ((plain, "tools"), (strict, "role: tool")):
        announce(player, ModelFacts(name="m", template=template))
        refused = plan(player, dataset)
        assert problems_of(refused) == [("dataset.train", "template_lacks")]
        assert (
            f"contains {what}, which the chat template of m does not render (rows affected: 2)"
            in refused["error"]["message"]
        )
        assert "Qwen2.5" in refused["error"]["hint"]
    late = post(player, *[{"messages": [{"role": role, "content": "a"} for role in LATE]}] * 2)
    for is_written, valid in ((False, None), (True, True), (None, True)):
        announce(
            player,
            ModelFacts(name="m", template=can.model_copy(update={"late_system": is_written})),
        )
        assert plan(player, late).get("valid") is valid
        if not valid:
            assert problems_of(plan(player, late)) == [("dataset.train", "template_lacks")]
    for known in (can, None):
        announce(player, ModelFacts(name="m", template=known))
        assert plan(player, dataset)["valid"]
    announce(player, ModelFacts(name="m", template=plain))
    announce(player, ModelFacts(name="m", template=can), worker="w2")
    assert plan(player, dataset)["valid"], "another worker's template can render the rows"
    announce(player, ModelFacts(name="m", template=plain), worker="w2")
    assert plan(player, post(player, PAIR, PAIR), preference="chosen_only")["valid"]
