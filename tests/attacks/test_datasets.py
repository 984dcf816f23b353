"""Uploaded files that would crash a job, or that contain answers that must not be trained on."""

import json
from typing import Any

from tests.programs.server_process import Server

GOOD = {"instruction": "a", "output": "b"}
DEEP = "[" * 5_000 + "]" * 5_000


def upload(server: Server, content: str, language: str = "en") -> tuple[int, dict[str, Any]]:
    response = server.client.post(
        "/v1/datasets",
        files={"file": ("rows.json", content.encode())},
        headers={"Accept-Language": language},
    )
    body: dict[str, Any] = response.json()
    return response.status_code, body.get("error", body)


def both_shapes(row: str) -> tuple[str, str]:
    """Return a good row followed by `row`, as JSONL and as a JSON array; `row` is on line 2 of both."""
    good = json.dumps(GOOD)
    return f"{good}\n{row}\n", f"[{good},\n{row}]"


ATTACKS = {
    "deep_in_an_unused_column": (f'{{"instruction": "a", "output": "b", "x": {DEEP}}}', "nested"),
    "weight_that_is_no_weight": (
        json.dumps({"messages": [{"role": "assistant", "content": "a", "weight": 0.5}]}),
        "messages[0].weight",
    ),
}
RATED = {
    "answer_labelled_false": {**GOOD, "label": False},
    "rejected_answer": {**GOOD, "rejected": "c"},
}


def test_rows_that_cannot_be_trained_on_are_rejected_and_their_line_is_named(
    server: Server,
) -> None:
    for row, reason in ATTACKS.values():
        for content in both_shapes(row):
            status, error = upload(server, content)
            assert (status, error["code"]) == (400, "dataset_invalid")
            assert "line 2: " in error["message"]
            assert reason in error["message"]
            assert "第 2 行" in upload(server, content, "zh")[1]["message"]

    assert upload(server, json.dumps(GOOD))[0] == 201


def test_answers_that_must_not_be_trained_on_are_rejected_with_the_job(server: Server) -> None:
    for row in RATED.values():
        for content in both_shapes(json.dumps(row)):
            status, dataset = upload(server, content)
            assert status == 201
            job = {"model": "m", "dataset": {"train": dataset["id"]}}
            error = server.client.post("/v1/jobs", json=job).json()["error"]
            assert (error["param"], error["code"]) == ("dataset.preference", "invalid_field")


def test_a_job_spec_nested_too_deeply_is_rejected_on_every_interpreter(server: Server) -> None:
    for body in (
        "[" * 101,
        DEEP,
        f'{{"model": "m", "dataset": {{"train": "ds_00000000"}}, "labels": {{"a": {DEEP}}}}}',
    ):
        response = server.client.post(
            "/v1/jobs", content=body, headers={"Content-Type": "application/json"}
        )
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (400, "body_too_deep")
        assert "deeper than 100 levels" in error["message"]

    # A byte search does not find the quotation mark in UTF-16.
    hidden = f'{{"model": "\\"", "labels": {DEEP}}}'
    for encoding in ("utf-8", "utf-16", "utf-16-le", "utf-32-be"):
        response = server.client.post(
            "/v1/jobs",
            content=hidden.encode(encoding),
            headers={"Content-Type": "application/json"},
        )
        assert response.json()["error"]["code"] == "body_too_deep", encoding

    labels = {"name": "[" * 150 + "{" * 150}
    assert server.post(**labels).status_code == 400  # 300 characters: too long for a name
    assert server.post(name="[" * 150).status_code == 201
