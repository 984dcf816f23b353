"""Each problem in a request is reported with its field, in both languages."""

from typing import Any

import pytest

from tests.app.errors.error_shape import CHINESE, check_shape
from tests.app.player import Player


@pytest.mark.parametrize(
    ("spec", "param", "chinese"),
    [
        ({"modle": "x"}, "model", "缺少该字段"),
        ({"trainng": {}}, "trainng", "未知字段"),
        ({"training": {"epochs": 0}}, "training.epochs", "应不小于 1"),
        ({"training": {"epochs": "1"}}, "training.epochs", "应为整数"),
        ({"training": {"learning_rate": 2}}, "training.learning_rate", "应不大于 1"),
        ({"training": {"learning_rate": float("nan")}}, "training.learning_rate", "不能是 NaN"),
        ({"training": {"warmup_steps": -1}}, "training.warmup_steps", "应为 0 到 100000000 的步数"),
        ({"lora": {"rank": None}}, "lora.rank", "应为整数"),
        ({"lora": {"target_modules": []}}, "lora.target_modules", "all-linear"),
        ({"lora": []}, "lora", "应为对象"),
        ({"quantization": {"type": "int8"}}, "quantization.type", "nf4"),
        ({"dataset": {"train": "x"}}, "dataset.train", "ds_"),
        ({"dataset": {"train": {"hub": "a b"}}}, "dataset.train.hub", "模型"),
        ({"dataset": {"train": {"hub": "a", "x": 1}}}, "dataset.train.x", "未知字段"),
        ({"dataset": {"train": "ds_00000000", "eval_size": 1.5}}, "dataset.eval_size", "比例"),
        ({"model": "../etc"}, "model", "模型"),
        ({"model": 5}, "model", "模型"),
        ({"labels": {"k": 1}}, "labels.k", "应为字符串"),
        ({"labels": {str(n): "" for n in range(17)}}, "labels", "最多 16 项"),
        ({"name": "x" * 201}, "name", "最多 200 个字符"),
        ({"queue": "No Queue"}, "queue", "应匹配"),
        ({"priority": 10**30}, "priority", "应不大于 1000"),
        ({"engine": {"compile": "yes"}}, "engine.compile", "true"),
        ({"engine": {"token_budget": 3}}, "engine.token_budget", "token"),
    ],
)
def test_an_invalid_field_is_named_in_both_languages(
    player: Player, spec: dict[str, Any], param: str, chinese: str
) -> None:
    body = spec if "modle" in spec else {"model": "m", "dataset": {"train": "ds_00000000"}} | spec
    for language in ("en", "zh"):
        content = json_with_nan(body)
        response = player.client.post(
            "/v1/jobs",
            content=content,
            headers={"Accept-Language": language, "Content-Type": "application/json"},
        )
        error = check_shape(response)
        assert response.status_code == 400
        assert (error["code"], error["param"]) == ("invalid_field", param)
        assert (chinese in error["message"]) or language == "en"
        if language == "en":
            assert not CHINESE.search(str(error))


def json_with_nan(body: object) -> bytes:
    import json  # noqa: PLC0415  # the client's own encoder rejects NaN

    return json.dumps(body).encode()


@pytest.mark.parametrize(
    ("spec", "param"),
    [
        ({"name": "a\0b"}, "name"),
        ({"labels": {"k\0": "v"}}, "labels.k"),
        ({"labels": {"k": "\0"}}, "labels.k"),
        ({"dataset": {"train": {"hub": "x", "split": "\0"}}}, "dataset.train.split"),
        (
            {"dataset": {"train": "ds_00000000", "eval": {"hub": "x", "config": "\0"}}},
            "dataset.eval.config",
        ),
    ],
)
def test_a_nul_character_is_rejected_and_its_field_is_named(
    player: Player, spec: dict[str, Any], param: str
) -> None:
    body = {"model": "m", "dataset": {"train": {"hub": "x"}}} | spec

    response = player.client.post("/v1/jobs", json=body)

    error = check_shape(response)
    assert (response.status_code, error["code"], error["param"]) == (400, "unsafe_character", param)


def test_an_invalid_time_is_rejected_and_its_parameter_is_named(player: Player) -> None:
    for language, words in (("en", "2026-01-31T08:00:00Z"), ("zh", "时区")):
        response = player.client.get(
            "/v1/jobs?created_before=12", headers={"Accept-Language": language}
        )
        error = check_shape(response)
        assert (response.status_code, error["param"]) == (400, "created_before")
        assert words in error["message"]


@pytest.mark.parametrize(
    ("query", "chinese"),
    [
        (
            "created_after=0001-01-01T00:00:00%2B14:00",
            "换算为 UTC 后，年份应在 1 到 9999 之间",
        ),
        (
            "status=x",
            "应为 'queued'、'running'、'paused'、'succeeded'、'failed' 或 'cancelled'（实际为 \"x\"）",
        ),
    ],
)
def test_an_invalid_filter_is_reported_entirely_in_chinese(
    player: Player, query: str, chinese: str
) -> None:
    response = player.client.get(f"/v1/jobs?{query}", headers={"Accept-Language": "zh"})

    assert check_shape(response)["message"].endswith(f": {chinese}")


def test_text_in_place_of_a_file_is_rejected_with_a_clear_message(player: Player) -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n[]\r\n--b--\r\n'
    for language, words in (("en", "must be a file, not text"), ("zh", "应为文件")):
        headers = {"Content-Type": "multipart/form-data; boundary=b", "Accept-Language": language}
        response = player.client.post("/v1/datasets", content=form, headers=headers)
        error = check_shape(response)
        assert (response.status_code, error["param"]) == (400, "file")
        assert words in error["message"]
        assert "UploadFile" not in response.text


def test_a_misspelled_field_gets_a_suggestion(player: Player) -> None:
    base = {"model": "m", "dataset": {"train": "ds_00000000"}}
    for extra, guess in (
        ({"trainng": {}}, "training"),
        ({"training": {"learning_rte": 1}}, "learning_rate"),
        ({"training": {"num_train_epochs": 1}}, ""),
    ):
        error = player.client.post("/v1/jobs", json=base | extra).json()["error"]
        assert error.get("hint", "") == (f"Did you mean {guess}?" if guess else "")


@pytest.mark.parametrize(
    ("change", "english", "chinese"),
    [
        (
            {"training": {"learning_rate": 5}},
            "must be at most 1 and greater than 0 (got 5)",
            "应不大于 1，且大于 0（实际为 5）",
        ),
        (
            {"training": {"max_length": 2}},
            "must be at least 8 and at most 1048576 (got 2)",
            "应不小于 8，且不大于 1048576（实际为 2）",
        ),
        (
            {"training": {"early_stopping": {"min_delta": 11}}},
            "must be at most 10 and at least 0 (got 11)",
            "应不大于 10，且不小于 0（实际为 11）",
        ),
    ],
)
def test_a_number_outside_its_range_is_reported_with_both_bounds(
    player: Player, change: dict[str, Any], english: str, chinese: str
) -> None:
    body = {"model": "m", "dataset": {"train": "ds_00000000"}} | change
    for language, expected in (("en", english), ("zh", chinese)):
        headers = {"Accept-Language": language}
        error = player.client.post("/v1/jobs", json=body, headers=headers).json()["error"]
        assert error["errors"][0]["message"] == expected


def test_a_query_parameter_outside_its_range_is_reported_with_both_bounds(player: Player) -> None:
    error = player.client.get("/v1/jobs?limit=500").json()["error"]

    assert error["message"] == 'limit: must be at most 100 and at least 1 (got "500")'


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"model": None}, "GET /v1/models lists the models on the workers."),
        ({"model": "../etc"}, "GET /v1/models lists the models on the workers."),
        ({"dataset": {"train": "rows.jsonl"}}, "Upload the rows with POST /v1/datasets, or choose"),
        ({"dataset": {}}, "Upload the rows with POST /v1/datasets and send its id"),
        ({"lora": {"rank": "64"}}, "Write it without quotation marks: 64"),
        ({"training": {"learning_rate": "1e-4"}}, "Write it without quotation marks: 1e-4"),
        ({"lora": {"rank": "many"}}, "Write an integer from 1 to 1024, such as 64."),
        (
            {"training": {"learning_rate": "abc"}},
            "Write a number greater than 0 and at most 1, such as 0.0002.",
        ),
        (
            {"training": {"epochs": [1]}},
            "Write an integer from 1 to 10000, such as 1.",
        ),
        (
            {"training": {"max_length": 100000000}},
            "Write an integer from 8 to 1048576, such as 1024.",
        ),
        (
            {"training": {"max_steps": 0}},
            "Write an integer from 1 to 100000000.",
        ),
        ({"name": 5}, 'Write it in quotation marks: "5"'),
        ({"training": {"lr_scheduler": "cosin"}}, "Did you mean cosine?"),
        ({"lora": [64]}, "Its fields: rank, alpha, dropout, target_modules."),
        ({"training": {"early_stopping": True}}, "Its fields: patience, min_delta."),
    ],
)
def test_a_hint_says_what_to_write_instead(
    player: Player, change: dict[str, Any], hint: str
) -> None:
    body = {"model": "m", "dataset": {"train": "ds_00000000"}} | change
    headers = {"Accept-Language": "zh"}

    error = player.client.post("/v1/jobs", json=body).json()["error"]
    chinese = player.client.post("/v1/jobs", json=body, headers=headers).json()["error"]

    assert error.get("hint", "").startswith(hint)
    assert bool(error.get("hint")) == bool(chinese.get("hint")) == bool(hint)
    assert not CHINESE.search(error.get("hint", ""))


def test_a_missing_model_gets_a_hint(player: Player) -> None:
    error = player.client.post("/v1/jobs", json={"dataset": {"train": "ds_00000000"}}).json()[
        "error"
    ]

    assert (error["param"], error["hint"]) == (
        "model",
        "GET /v1/models lists the models on the workers.",
    )


@pytest.mark.parametrize(
    ("language", "messages_by_param"),
    [
        (
            "en",
            {
                "training.epochs": ("too_small", "must be at least 1 and at most 10000 (got 0)"),
                "training.lr_scheduler": (
                    "not_an_option",
                    "must be 'cosine', 'linear' or 'constant' (got \"step\")",
                ),
                "lora.rank": ("not_an_integer", 'must be an integer (got "64")'),
                "modle": (
                    "unknown_field",
                    "is not a known field; check its spelling and its location in the body",
                ),
            },
        ),
        (
            "zh",
            {
                "training.epochs": ("too_small", "应不小于 1，且不大于 10000（实际为 0）"),
                "training.lr_scheduler": (
                    "not_an_option",
                    "应为 'cosine'、'linear' 或 'constant'（实际为 \"step\"）",
                ),
                "lora.rank": ("not_an_integer", '应为整数（实际为 "64"）'),
                "modle": ("unknown_field", "未知字段，请检查拼写和所在层级"),
            },
        ),
    ],
)
def test_every_problem_in_a_request_is_listed(
    player: Player, language: str, messages_by_param: dict[str, tuple[str, str]]
) -> None:
    body = {
        "model": "m",
        "dataset": {"train": "ds_00000000"},
        "training": {"epochs": 0, "lr_scheduler": "step"},
        "lora": {"rank": "64"},
        "modle": "m",
    }

    response = player.client.post("/v1/jobs", json=body, headers={"Accept-Language": language})

    error = check_shape(response)
    found = {each["param"]: (each["code"], each["message"]) for each in error["errors"]}
    assert found == messages_by_param
    assert error["message"] == "; ".join(
        f"{each['param']}: {each['message']}" for each in error["errors"]
    )


def test_only_the_first_few_of_hundreds_of_problems_in_a_request_are_listed(player: Player) -> None:
    unknown = {f"field_{number:03d}": 1 for number in range(300)}
    body = {"model": "m", "dataset": {"train": "ds_00000000"}, **unknown}

    error = check_shape(player.client.post("/v1/jobs", json=body))

    assert [each["param"] for each in error["errors"]] == list(unknown)[:100]
    assert error["message"].endswith("… (+295)")


def test_a_value_that_matches_no_member_of_a_union_is_reported_as_one_problem(
    player: Player,
) -> None:
    response = player.client.get("/v1/jobs/job_x/loss?window=banana")

    assert check_shape(response)["errors"] == [
        {
            "param": "window",
            "code": "invalid_value",
            "message": "must be an integer, or must be 'auto' (got \"banana\")",
        }
    ]
