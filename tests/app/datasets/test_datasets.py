import contextlib
import hashlib
import io
import json
from pathlib import Path

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.config.settings import Settings
from app.datasets.files.file_error import FileError
from app.datasets.files.found import Found, Rejected, Row
from app.datasets.files.json_rows import read_json
from tests.app.player import Player

ALPACA = {"instruction": "问", "input": "", "output": "答", "id": 7}
PROMPT = {"prompt": "p", "completion": "c"}
CHAT = {"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]}


def upload(
    player: Player, content: bytes | str, name: str = "rows.json"
) -> tuple[int, dict[str, object]]:
    data = content.encode() if isinstance(content, str) else content
    response = player.client.post("/v1/datasets", files={"file": (name, data)})
    body: dict[str, object] = response.json()
    return response.status_code, body.get("error", body)  # type: ignore[return-value]  # a dict either way


def jsonl(*rows: object) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def test_a_json_array_and_jsonl_yield_the_same_rows(player: Player, settings: Settings) -> None:
    rows = [ALPACA, PROMPT, CHAT]
    for content in (
        json.dumps(rows),
        json.dumps(rows, indent=2, ensure_ascii=False),
        "\ufeff" + json.dumps(rows),
        jsonl(*rows),
        "\ufeff" + jsonl(*rows),
        "\n" + jsonl(*rows).replace("\n", "\r\n\r\n").rstrip(),
    ):
        status, dataset = upload(player, content)
        assert status == 201
        assert dataset["rows"] == 3
        assert dataset["forms"] == {"alpaca": 1, "prompt": 1, "messages": 1}
        assert dataset["bytes"] == len(content.encode())
        sha256 = hashlib.sha256(content.encode()).hexdigest()
        assert (dataset["sha256"], dataset["id"]) == (sha256, f"ds_{sha256[:24]}")
        shown = dataset["preview"][0]["messages"]  # type: ignore[index]  # a list
        assert [(turn["role"], turn["content"], turn["trained"]) for turn in shown] == [
            ("user", "问", None),
            ("assistant", "答", True),
        ]
        newest = max(
            (settings.data_dir / "datasets").iterdir(), key=lambda path: path.stat().st_mtime_ns
        )
        assert [json.loads(line) for line in newest.read_text().splitlines()] == rows


def test_uploading_the_same_bytes_again_returns_the_same_dataset(
    player: Player, settings: Settings
) -> None:
    first = upload(player, jsonl(ALPACA), "one.jsonl")
    again = upload(player, jsonl(ALPACA), "two.jsonl")

    assert (first[0], again[0]) == (201, 200)
    assert first[1] == again[1]
    assert len(list((settings.data_dir / "datasets").iterdir())) == 1
    assert list((settings.data_dir / "aside").iterdir()) == []


def test_invalid_rows_are_reported_with_their_line_and_the_expected_format(player: Player) -> None:
    good = jsonl(ALPACA)
    for content, *expected in (
        (good + '{"instruction": "x"}\n', "row 2, line 2: output is missing"),
        (good + "\n[1]\n", "row 2, line 3: the row is a list; it must be an object"),
        (good + '{"question": "x"}\n', "row 2, line 2: its keys (question) match no known format"),
        (good + '{"prompt": "x", "completion": \n', "line 2: it is not valid JSON"),
        (
            good + '{"messages": [{"role": "robot", "content": "x"}]}',
            "line 2: messages[0].role is 'robot'",
        ),
        (
            good + '{"instruction": 5, "output": "x"}',
            "line 2: instruction is a number; it must be a string",
        ),
        ('[\n {"instruction": "a", "output": "b"},\n 3\n]', "row 2, line 3: the row is a number"),
        ('[\n {"instruction": "a",\n "output" "b"}]', "line 3: it is not valid JSON"),
        ('[{"instruction": "a", "output": "b"}', "the file ends before the end of the array"),
        ('[{"instruction": "a", "output": "b"} {}]', "a comma or ] is missing"),
        ('[{"instruction": "a", "output": "b"}] x', "there is content after the array"),
        ('{\n "instruction": "a"\n}', "line 1: it is not valid JSON"),
        ('"text"', "the row is a string; it must be an object"),
    ):
        status, error = upload(player, content)
        assert status == 400
        assert (error["code"], error["param"]) == ("dataset_invalid", "file")
        for words in expected:
            assert words in str(error["message"])
        assert "{prompt, completion}" in str(error["hint"])


def test_all_invalid_rows_are_counted_and_the_first_ones_are_listed(player: Player) -> None:
    _, error = upload(player, jsonl(*[{"n": n} for n in range(30)]))

    message = str(error["message"])
    assert message.startswith("Invalid rows found: 30. ")
    assert message.count("line") == 5
    entries = error["errors"]
    assert isinstance(entries, list)
    assert len(entries) == 30
    assert entries[29] == {
        "param": "file",
        "code": "unknown_form",
        "message": "row 30, line 30: its keys (n) match no known format",
    }

    files = {"file": ("rows.jsonl", jsonl(*[{"n": n} for n in range(150)]).encode())}
    for language, words in (("en", "at least 100."), ("zh", "至少 100 条")):
        headers = {"Accept-Language": language}
        stopped = player.client.post("/v1/datasets", files=files, headers=headers).json()["error"]
        assert words in stopped["message"]
        assert len(stopped["errors"]) == 100


def test_a_file_without_rows_is_reported_as_empty(player: Player) -> None:
    for content in ("", " \n\n", "[]", " [ ] ", "\ufeff"):
        status, error = upload(player, content)
        assert (status, error["code"], error["param"]) == (400, "dataset_empty", "file")


@pytest.mark.parametrize(
    "content",
    [
        b'{"instruction": "\xe9", "output": "x"}',
        b'[{"instruction": "\xe9", "output": "x"}]',
        b'{"instruction": "\\ud800", "output": "x"}',
        b'{"instruction": "x", "output": "y", "n": ' + b"9" * 5000 + b"}",
        b'[{"n": ' + b"9" * 5000 + b"}]",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"prompt": "x", "completion": "y", "n": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b"\x00\x00",
        b'{"\\ud800": 1}',
        b'{"messages": [{"role": "\\ud800", "content": "a"}]}',
        b'{"prompt": "a", "completion": {"\\ud800": 1}}',
        b'{"instruction": "x" "output"}',
    ],
)
def test_malicious_files_are_rejected_like_any_invalid_file(player: Player, content: bytes) -> None:
    status, error = upload(player, content)

    assert (status, error["code"]) == (400, "dataset_invalid")


def test_unusual_values_in_columns_that_are_not_trained_on_are_accepted(player: Player) -> None:
    status, dataset = upload(
        player,
        '{"instruction": "a\\u0000b", "output": "c", "x": "\\ud800", "y": NaN, "z": 1e999}\n',
        "../../etc/passwd",
    )

    assert status == 201
    assert dataset["filename"] == "passwd"
    assert player.get(f"/v1/datasets/{dataset['id']}") == dataset


def test_a_file_above_the_size_limit_is_rejected(player: Player, settings: Settings) -> None:
    status, error = upload(player, b" " * (settings.max_upload_bytes + 100_000))

    assert (status, error["code"]) == (413, "body_too_large")
    assert list((settings.data_dir / "aside").iterdir()) == []


def test_an_invalid_upload_request_gets_a_clear_error(player: Player) -> None:
    for response in (
        player.client.post("/v1/datasets"),
        player.client.post("/v1/datasets", content=b"[]", headers={"Content-Type": "text/plain"}),
        player.client.post("/v1/datasets", data={"file": "text"}),
        player.client.post("/v1/datasets", files={"data": ("x", b"x")}),
        player.client.post(
            "/v1/datasets", content=b"x", headers={"Content-Type": "multipart/form-data"}
        ),
        player.client.post(
            "/v1/datasets",
            content=b"--b\r\nbroken",
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        ),
    ):
        assert response.status_code == 400
        assert set(response.json()["error"]) >= {"message", "type", "param", "code"}
        assert ".." not in response.json()["error"]["message"]


def test_datasets_are_listed_newest_first(player: Player) -> None:
    ids = [player.upload(1, mark=str(n)) for n in range(3)]

    first = player.get("/v1/datasets", limit=2)
    second = player.get("/v1/datasets", limit=2, cursor=first["cursor"])

    assert [row["id"] for page in (first, second) for row in page["data"]] == ids[::-1]
    assert (first["has_more"], second["has_more"]) == (True, False)


def test_a_dataset_can_be_deleted_once_no_unfinished_job_uses_it(
    player: Player, settings: Settings
) -> None:
    dataset, held_out = player.upload(), player.upload(3, "e")
    job = player.submit(dataset={"train": dataset, "eval": held_out})

    for used in (dataset, held_out):
        refused = player.client.delete(f"/v1/datasets/{used}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "dataset_in_use")
        assert job in refused.json()["error"]["message"]

    player.client.post(f"/v1/jobs/{job}/cancel")
    assert player.client.delete(f"/v1/datasets/{dataset}").json()["deleted"] is True
    assert player.client.get(f"/v1/datasets/{dataset}").status_code == 404
    assert player.client.delete(f"/v1/datasets/{dataset}").status_code == 404
    assert player.job(job)["spec"]["dataset"]["train"] == dataset
    assert not list(Path(settings.data_dir / "datasets").glob(f"{dataset}*"))
    assert player.upload() == dataset


def read(content: bytes) -> list[Found]:
    found: list[Found] = []
    with contextlib.suppress(FileError):
        found.extend(read_json(io.BytesIO(content)))
    return found


def test_rows_that_cross_block_boundaries_are_read_completely() -> None:
    rows = [{"n": n, "text": "x汉" * (n * 997 % 50_000)} for n in range(60)]

    for content in (json.dumps(rows), json.dumps(rows, ensure_ascii=False, indent=1), jsonl(*rows)):
        found = read(content.encode())
        assert [row.value for row in found if isinstance(row, Row)] == rows
        assert [row.number for row in found if isinstance(row, Row)] == list(range(1, 61))


def test_reading_stops_with_one_error_at_an_overlong_row() -> None:
    for content in (b'["' + b"x" * 6_000_000, b'{"a": "' + b"x" * 6_000_000):
        found = read(content)
        assert len(found) == 1
        assert isinstance(found[0], Rejected)


@hypothesis_settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200) | st.text(alphabet='[]{}",:\n 1a\\', max_size=60).map(str.encode))
def test_reading_any_bytes_yields_only_rows_and_problems(content: bytes) -> None:
    for found in read(content):
        assert isinstance(found, Row | Rejected)


def test_a_dataset_file_that_cannot_be_deleted_is_left_for_the_sweep(
    player: Player, app: FastAPI
) -> None:
    dataset = player.upload()
    (stored,) = (app.state.storage.root / "datasets").iterdir()
    stored.unlink()
    stored.mkdir()

    assert player.client.delete(f"/v1/datasets/{dataset}").status_code == 200
    assert player.client.get(f"/v1/datasets/{dataset}").status_code == 404
    assert stored.exists()


def test_datasets_are_found_by_part_of_their_name_or_id(player: Player) -> None:
    ids = {}
    for name in ("Apples 100%.jsonl", "pears_a.json", "苹果.jsonl"):
        _, dataset = upload(player, jsonl({**ALPACA, "instruction": name}), name)
        ids[name] = str(dataset["id"])

    def find(search: str, **query: str | int) -> list[str]:
        return [
            one["filename"] for one in player.get("/v1/datasets", search=search, **query)["data"]
        ]

    assert find("APPLES") == ["Apples 100%.jsonl"]
    assert find("jsonl") == ["苹果.jsonl", "Apples 100%.jsonl"]
    assert find("0%") == ["Apples 100%.jsonl"]
    assert find("s_a") == ["pears_a.json"], "_ is not a wildcard"
    assert find(ids["苹果.jsonl"]) == find("苹果") == find(" 苹果\0 ") == ["苹果.jsonl"]
    assert find("absent") == []
    assert len(find("")) == 3
    first = player.get("/v1/datasets", search="jsonl", limit=1)
    assert first["has_more"]
    assert find("jsonl", cursor=first["cursor"]) == ["Apples 100%.jsonl"]
