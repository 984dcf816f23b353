import math
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import Response
from pydantic import ValidationError
from sqlalchemy import text
from starlette.testclient import TestClient

from app.config.settings import Settings
from app.datasets.found import Rejected
from app.db.engine import Database
from app.errors import kinds as errors
from app.errors import words as messages
from app.errors.base import AppError
from app.errors.field_words import FIELD_WORDS, FieldCode
from app.events.words import EVENTS, event_words
from app.http.negotiation.language import choose_language
from app.http.validation import field_errors
from app.main import create_app
from contracts.dataset.row_error import RowError
from contracts.dataset.rows import parse_json, parse_row
from contracts.failure import FailureReason, Language
from contracts.field_error import FieldProblem
from contracts.job import JobSpec
from tests.app.player import BASE_URL, TOKEN, Player
from tests.factories import make_spec

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, AppError) and kind is not AppError
]
FIELD_CODES = {*FieldCode, *FieldProblem}
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def check_shape(response: Response) -> dict[str, Any]:
    body = response.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert (
        {"message", "type", "param", "code"}
        <= set(error)
        <= {"message", "type", "param", "code", "hint", "errors"}
    )
    assert ("errors" in error) == (error["code"] == "invalid_field")
    if "errors" in error:
        assert error["errors"][0]["param"] == error["param"]
        for each in error["errors"]:
            assert set(each) == {"param", "code", "message"}
            assert each["code"] in FIELD_CODES
            assert each["message"]
    assert error["message"]
    assert error["code"] in messages.ERRORS
    assert error["param"] is None or error["param"]
    assert "detail" not in body
    assert re.fullmatch(r"[A-Za-z0-9._:-]+", response.headers["x-request-id"])
    if response.status_code in {400, 401, 404, 405, 413}:
        assert response.headers["x-should-retry"] == "false"
    return error


def placeholders_of(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_message_has_the_same_placeholders_in_both_languages(
    kind: type[AppError],
) -> None:
    english, chinese = messages.ERRORS[kind.code]["en"], messages.ERRORS[kind.code]["zh"]

    assert placeholders_of(english.message) == placeholders_of(chinese.message)
    assert bool(english.hint) == bool(chinese.hint)
    assert CHINESE.search(chinese.message) or kind.code == "invalid_field"
    assert not CHINESE.search(english.message + english.hint)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_numbers_are_formatted_as_their_message_specifies(language: Language) -> None:
    for code, words in messages.ERRORS.items():
        message = words[language].message
        numbers = dict.fromkeys(placeholders_of(message + words[language].hint), 20.0)

        assert messages.error_words(code, language, numbers).message == message.format_map(numbers)


def test_every_event_message_has_the_same_placeholders_in_both_languages() -> None:
    for code, words in EVENTS.items():
        assert placeholders_of(words["en"]) == placeholders_of(words["zh"]), code


def test_an_event_stored_under_its_former_code_keeps_its_text() -> None:
    languages: tuple[Language, ...] = ("en", "zh")
    for language in languages:
        sentence = event_words("attempt_unheard", language, {"number": 2, "worker": "w1"})

        assert "w1" in sentence
        assert sentence == event_words(
            "attempt_undelivered", language, {"number": 2, "worker": "w1"}
        )


@pytest.mark.parametrize("reason", FailureReason)
def test_an_event_gives_its_reason_in_words(reason: FailureReason) -> None:
    languages: tuple[Language, ...] = ("en", "zh")
    for language in languages:
        sentence = event_words("job_failed", language, {"reason": reason.value})

        assert reason.value not in sentence
        assert reason.message(language)[1:] in sentence
    free = {"step": 5, "reason": "the server is away"}
    assert event_words("checkpoint_delayed", "en", free).endswith("will retry: the server is away")


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (943_020, "920.9 KiB"),
        (8_651_944, "8.25 MiB"),
        (2**40, "1.00 TiB"),
    ],
)
def test_an_event_shows_a_size_in_the_units_of_the_page(count: int, shown: str) -> None:
    figures = {"name": "adapter.zip", "bytes": count}

    assert f"({shown})" in event_words("artifact_uploaded", "en", figures)
    assert f"（{shown}）" in event_words("artifact_uploaded", "zh", figures)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("zh", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-US,en;q=0.9,zh;q=0.8", "en"),
        ("fr, zh;q=0.5", "zh"),
        ("zh;q=0.1, en;q=0.2", "en"),
        ("zh;q=0", "en"),
        ("zh;q=banana, ,;;;", "zh"),
        ("*", "en"),
    ],
)
def test_the_preferred_language_is_chosen(header: str | None, language: str) -> None:
    assert choose_language(header) == language


@pytest.mark.parametrize(
    ("row", "chinese"),
    [
        (3, "应为对象"),
        ({"a": 1}, "不符合任何已知格式"),
        ({"instruction": 1, "output": "x"}, "应为字符串"),
        ({"messages": [{"role": "user", "content": "x"}]}, "没有助手的回答"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "应为"),
        (
            {"messages": [{"role": r, "content": "x"} for r in ("user", "assistant", "system")]},
            "system 消息",
        ),
        ({"instruction": "a", "output": "b", "history": [["x"]]}, "history"),
    ],
)
def test_invalid_rows_are_reported_in_chinese(row: object, chinese: str) -> None:
    with pytest.raises(RowError) as found:
        parse_row(row, 5)

    sentence = Rejected(found.value, 4).describe("zh")
    assert sentence.startswith("第 4 条，第 5 行：")
    assert chinese in sentence


UNUSUAL_VALUES: list[Any] = [None, True, -1, 10**30, 1.5, math.nan, "x", [], {}, {"a": 1}, "\ud800"]
PYDANTIC_WORDING = re.compile(
    r"Input|input should|String should|dictionary|instance of|unicode string|raw data|\((?!got )|\[key\]|function-|constrained|literal"
)


def every_change(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield specs in which one field, at any depth, is replaced by an unusual value."""
    for name, value in fields.items():
        yield from ({**fields, name: unusual} for unusual in UNUSUAL_VALUES)
        if isinstance(value, dict):
            yield from ({**fields, name: inner} for inner in every_change(value))


def test_errors_in_a_spec_never_use_pydantics_wording() -> None:
    spec = make_spec(labels={"k": "v"}, training={"early_stopping": {"patience": 3}})
    found = set()
    for change in [
        *every_change(spec.model_dump(mode="json")),
        spec.model_dump(mode="json") | {"labels": {"": "x", "y" * 65: "z", "k": "v" * 600}},
    ]:
        try:
            JobSpec.model_validate(change)
        except ValidationError as error:
            errors = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
            assert {each["type"] for each in errors} <= set(FIELD_WORDS)
            found |= {(each.param, each.message) for each in field_errors(errors, "en")}
            for each in field_errors(errors, "zh"):
                assert CHINESE.search(each.message), each

    assert len(found) > 100
    assert [each for each in found if PYDANTIC_WORDING.search(f"{each[0]} {each[1]}")] == []
    assert ("labels", 'must have 1 or more characters (got "")') in found


def test_a_line_that_is_not_json_is_reported_in_chinese() -> None:
    with pytest.raises(RowError) as found:
        parse_json(b"{", 1)

    assert "不是合法的 JSON" in Rejected(found.value).describe("zh")


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
        ({"lora": {"rank": "many"}}, ""),
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


HOSTILE_BODIES: list[tuple[bytes, str]] = [
    (b"", "application/json"),
    (b"{", "application/json"),
    (b"null", "application/json"),
    (b"[]", "application/json"),
    (b'"x"', "application/json"),
    (b"1" * 5000, "application/json"),
    (b"\xff\xfe", "application/json"),
    (b'{"model": "\xff"}', "application/json"),
    (b"[" * 100_000, "application/json"),
    (b'{"a":' * 50_000, "application/json"),
    (b'{"model": "\\ud800", "dataset": {"train": "ds_00000000"}}', "application/json"),
    (b'{"model": "m", "dataset": {"train": "ds_00000000"}, "name": "\\ud800"}', "application/json"),
    (b'{"\\ud800": 1}', "application/json"),
    (b'{"model": "m\\u0000", "dataset": {"train": "ds_00000000"}}', "application/json"),
    (
        b'{"model": "m", "dataset": {"train": "ds_00000000"}, "priority": ' + b"9" * 4000 + b"}",
        "application/json",
    ),
    (
        b'{"model": "m", "dataset": {"train": "ds_00000000"}, "training": {"seed": 1e400}}',
        "application/json",
    ),
    (b'{"worker": {"worker_id": "\\u0000"}}', "application/json"),
    (b'{"worker_id": "\\u0000x", "queue": "\\u0000"}', "application/json"),
    (b'{"worker_id": "x", "queue": "' + b"q" * 5000 + b'"}', "application/json"),
    (b'{"records": [{"type": "metric", "seq": 0}]}', "application/json"),
    (b'{"records": [{"type": {}, "seq": 1}]}', "application/json"),
    (b'{"records": "x", "output": 5}', "application/json"),
    (b'{"outcome": {"status": "succeeded"}, "last_seq": -1}', "application/json"),
    (b'{"outcome": {"status": "eaten"}, "last_seq": 0}', "application/json"),
    (b"model=m", "application/x-www-form-urlencoded"),
    (b"{}", "text/plain"),
    (b"{}", ""),
    (b"x", "multipart/form-data; boundary=b"),
    (b"x" * 2_000_000, "application/json"),
]
HOSTILE_IDS = [
    "none",
    "job_",
    "job_" + "0" * 24,
    "%00",
    "job_%00",
    "%ff%fe",
    "..",
    "%2e%2e",
    "job_" + "a" * 5000,
    "汉",
    "job_1'--",
    "{job_id}",
]
HOSTILE_QUERIES = [
    "cursor=x",
    "cursor=%00",
    "cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk5",
    "cursor=LTE",
    "cursor=%ff",
    "since=x",
    "since=MS4y4",
    "limit=0",
    "limit=-1",
    "limit=x",
    "limit=1e3",
    "limit=" + "9" * 5000,
    "status=eaten",
    "label=x",
    "label=:",
    "label=%00:x",
    "created_after=x",
    "created_after=2026-01-01",
    "created_after=0001-01-01T00:00:00%2B14:00",
    "created_after=9999-12-31T23:59:59-14:00",
    "created_before=99999999999999999999",
    "wait=61",
    "wait=-1",
    "wait=nan",
    "wait=inf",
    "format=xml",
    "lang=fr",
    "dry_run=maybe",
    "cursor=" + "x" * 5000,
    "%00=%00",
]


def all_routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Yield every method and path, including the internal ones."""
    for path, methods in app.openapi()["paths"].items():
        for method in methods:
            yield method.upper(), path
    for path in ("workers", "claim", "attempts/{attempt_id}/sync", "attempts/{attempt_id}/finish"):
        yield "POST", f"/internal/v1/{path}"
    yield "PUT", "/internal/v1/attempts/{attempt_id}/artifacts/{name}"
    yield "GET", "/internal/v1/attempts/{attempt_id}/datasets/{dataset_id}"


def test_every_route_rejects_invalid_requests_in_the_standard_error_format(
    app: FastAPI, player: Player
) -> None:
    player.submit()
    claim = player.claim()
    job, dataset = claim.job_id, str(claim.spec.dataset.train)
    real = {"job_id": job, "dataset_id": dataset, "attempt_id": claim.attempt_id}
    real |= {"name": "x", "model_id": "owner/x", "code": "stalled"}
    ended = player.submit()  # its stream ends immediately; the stream of a running job would not
    player.client.post(f"/v1/jobs/{ended}/cancel")

    def send(method: str, path: str, token: str, body: bytes = b"", kind: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} | ({"Content-Type": kind} if kind else {})
        response = player.client.request(method, path, content=body, headers=headers)
        assert response.status_code < 500, (method, path, body[:80], response.text)
        if response.status_code >= 400 and method != "HEAD":
            check_shape(response)

    for method, path in all_routes(app):
        token = TOKEN if path.endswith(("/workers", "/workers/models", "/claim")) else claim.token
        for bad in HOSTILE_IDS:
            if "{" in path:
                send(method, re.sub(r"\{\w+\}", bad, path), token)
        place = path.format_map(real | ({"job_id": ended} if path.endswith("/stream") else {}))
        if method == "GET":
            for query in HOSTILE_QUERIES:
                send(method, f"{place}?{query}", token)
        elif method != "DELETE":
            for body, kind in HOSTILE_BODIES:
                send(method, place, token, body, kind)
        if method != "GET":
            send(method, place, "wrong")
    assert player.client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v1/jobs/", "/v2/jobs", "/v1/nothing", "/%00", "/docs/"]
)
def test_an_unknown_path_is_not_found(player: Player, path: str) -> None:
    response = player.client.get(path)

    assert response.status_code == 404
    assert check_shape(response)["code"] == "path_not_found"


def test_a_wrong_method_is_rejected_with_the_allowed_ones(player: Player) -> None:
    for method, path, allowed in (
        ("PUT", "/v1/jobs", "GET, POST"),
        ("POST", "/v1/jobs/job_x", "GET, PATCH, DELETE"),
        ("GET", "/v1/jobs/job_x/cancel", "POST"),
        ("PATCH", "/v1/datasets/ds_x", "GET, DELETE"),
        ("DELETE", "/healthz", "GET"),
    ):
        response = player.client.request(method, path)
        assert response.status_code == 405
        assert response.headers["allow"] == allowed
        assert check_shape(response)["code"] == "method_not_allowed"


@pytest.mark.parametrize("key", ["", "x" * 256, "naïve", "a\tb"])
def test_an_invalid_idempotency_key_is_rejected(player: Player, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode("latin-1"))]
    body = {"model": "m", "dataset": {"train": player.upload()}}

    response = player.client.post("/v1/jobs", json=body, headers=headers)

    assert response.status_code == 400
    assert check_shape(response)["param"] == "Idempotency-Key"


def test_an_internal_error_is_logged_and_its_details_are_hidden_from_the_client(
    app: FastAPI, client: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    @app.get("/bug")
    def bug() -> None:
        raise ZeroDivisionError("a bug in the server")

    response = client.get("/bug", headers={"X-Request-Id": "mine-1"})

    error = check_shape(response)
    assert (response.status_code, error["code"]) == (500, "internal_error")
    assert response.headers["x-request-id"] == "mine-1"
    assert "mine-1" in error["message"]
    assert "a bug in the server" not in response.text
    assert "a bug in the server" in capsys.readouterr().out


def test_an_unsafe_request_id_is_replaced(client: TestClient) -> None:
    response = client.get("/healthz", headers={"X-Request-Id": 'x" onclick='})

    assert response.headers["x-request-id"].startswith("req_")


def test_an_unavailable_database_is_reported_with_a_retry_time(
    settings: Settings, tmp_path: Any
) -> None:
    unavailable = settings.model_copy(
        update={"database_url": f"postgresql://postgres@/none?host={tmp_path}"}
    )
    app = create_app(unavailable)
    app.state.storage.prepare()
    client = TestClient(app, base_url=BASE_URL)

    for response in (
        client.get("/v1/jobs"),
        client.get("/v1/jobs/job_x?wait=1"),
        client.get("/v1/workers"),
    ):
        error = check_shape(response)
        assert (response.status_code, error["code"]) == (503, "database_unavailable")
        assert response.headers["retry-after"] == "2"
        assert "x-should-retry" not in response.headers
    assert client.get("/healthz").status_code == 200
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    assert ready.json()["database"].startswith("unreachable")


def test_the_server_is_not_ready_while_its_schema_is_outdated(
    client: TestClient, database: Database, settings: Settings
) -> None:
    assert client.get("/readyz").json()["ready"] is True

    with database.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "stepline migrate" in response.json()["database"]


def test_cors_allows_only_the_configured_origins(settings: Settings) -> None:
    def allowed_origin(given: Settings) -> str | None:
        app = create_app(given)
        response = TestClient(app, base_url=BASE_URL).get(
            "/healthz", headers={"Origin": "https://a.example"}
        )
        return response.headers.get("access-control-allow-origin")

    assert allowed_origin(settings) is None
    configured = settings.model_copy(update={"cors_origins": ["https://a.example"]})
    assert allowed_origin(configured) == "https://a.example"


@pytest.mark.parametrize("kind", FIELD_WORDS)
def test_every_field_error_message_has_the_same_placeholders_in_both_languages(
    kind: str,
) -> None:
    words = FIELD_WORDS[kind]

    assert placeholders_of(words.en) == placeholders_of(words.zh)
    assert CHINESE.search(words.zh)
    assert not CHINESE.search(words.en)


def test_every_problem_that_our_validators_report_has_a_message() -> None:
    assert {problem: FIELD_WORDS[problem].code for problem in FieldProblem} == {
        problem: problem for problem in FieldProblem
    }


def test_the_documentation_lists_every_field_error_code() -> None:
    documentation = (Path(__file__).parents[2] / "docs" / "api.md").read_text()

    assert [code for code in FIELD_CODES if f"`{code}`" not in documentation] == []


def test_the_openapi_document_describes_the_list_of_errors(app: FastAPI) -> None:
    schemas = app.openapi()["components"]["schemas"]

    assert "invalid_field" in schemas["ErrorDetail"]["properties"]["errors"]["description"]
    assert "errors" not in schemas["ErrorDetail"]["required"]
    assert set(schemas["FieldError"]["required"]) == {"param", "code", "message"}


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
                    "is not a known field; check its spelling and its place in the body",
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


def test_an_error_shows_unsafe_characters_as_escape_sequences(player: Player) -> None:
    body = {
        "model": "m",
        "dataset": {"train": "ds_00000000"},
        "lora": {"rank": "\u202e"},
        "\x1b": 1,
    }

    [rank, unknown] = check_shape(player.client.post("/v1/jobs", json=body))["errors"]

    assert rank["message"] == r'must be an integer (got "\u202e")'
    assert unknown["param"] == r"\x1b"


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
