"""Control and bidi characters in all text that users and jobs can set or print."""

import csv
import io
import itertools
import json
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from app.config.settings import Settings
from app.db.engine import Database
from app.db.tables import Job, JobText
from app.events.words import event_words
from app.main import create_app
from app.reports.boxed import render_markdown, render_report
from contracts.base import utc_now
from contracts.failure import FailureReason
from contracts.record import LogRecord, MetricRecord
from contracts.values.text import escape, escape_cell, escape_json, find_unsafe
from examples.client import ApiError, Client, printable
from tests.app.player import BASE_URL, Player
from tests.factories import make_metric, make_summary
from tests.programs.chromium import running_chromium
from tests.programs.server_process import TOKEN, Server

BAD = [
    *map(chr, range(0x20)),
    *map(chr, range(0x7F, 0xA0)),
    *"\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u206a\u206f",
]
STORABLE = "".join(BAD).replace("\0", "")
GOOD = [
    "中文名称，第一次（试跑）",
    "تجربة أولى",
    "ניסוי ראשון",
    "می‌خواهم",  # with U+200C, which Persian needs
    "👩‍👩‍👧‍👦 ❤️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿 e\u0301",  # with U+200D, a variation selector, a flag made of tags, and an accent
    "क्‍ष",
    "a=b -0.5 @home 'quoted' <b>",
]
COLOR = "\x1b[31mred\x1b[0m \x9b2J"


def spec_with(**changes: Any) -> dict[str, Any]:
    return {"model": "m", "dataset": {"train": {"hub": "someone/data"}}} | changes


@pytest.fixture
def settings(sqlite_url: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=sqlite_url, data_dir=tmp_path / "files", worker_token=TOKEN, doorbell=False
    )


@pytest.fixture
def player(settings: Settings) -> Iterator[Player]:
    app = create_app(settings)
    app.state.storage.prepare()
    yield Player(TestClient(app, base_url=BASE_URL))
    app.state.database.close()


@pytest.mark.parametrize("character", BAD, ids=lambda c: f"U+{ord(c):04X}")
def test_an_unsafe_character_is_detected_and_escaped(character: str) -> None:
    assert find_unsafe(f"a{character}b") == f"U+{ord(character):04X}"
    shown = escape(f"a{character}b")
    assert shown.isascii()
    assert f"{ord(character):x}" in shown
    assert find_unsafe(shown) is None
    assert json.loads(escape_json(json.dumps(character, ensure_ascii=False))) == character
    assert printable(character).isprintable() or character in "\n\t"


@pytest.mark.parametrize("text", GOOD)
def test_text_in_every_script_is_kept_unchanged(player: Player, text: str) -> None:
    job = player.submit(name=text, labels={text: text}, dataset={"train": player.upload()})

    assert (player.job(job)["name"], player.job(job)["labels"]) == (text, {text: text})
    assert escape(text) == text


def test_every_unicode_control_and_bidi_character_is_detected() -> None:
    turning = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
    marks = {"LEFT-TO-RIGHT MARK", "RIGHT-TO-LEFT MARK", "ARABIC LETTER MARK"}
    for character in map(chr, range(sys.maxunicode + 1)):
        is_unsafe = (
            unicodedata.category(character) in {"Cc", "Zl", "Zp", "Cs"}
            or unicodedata.bidirectional(character) in turning
            or unicodedata.name(character, "") in marks
        )
        # Six deprecated formatting marks, U+206A to U+206F, change digits and letters.
        assert bool(find_unsafe(character)) == (is_unsafe or "\u206a" <= character <= "\u206f")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"name": "a{}b"}, "name"),
        ({"labels": {"k": "{}"}}, "labels.k"),
        ({"labels": {"k{}": "v"}}, "labels.k"),
        ({"dataset": {"train": {"hub": "x", "split": "train{}"}}}, "dataset.train.split"),
        ({"dataset": {"train": {"hub": "x", "config": "{}"}}}, "dataset.train.config"),
        ({"queue": "q{}"}, "queue"),
        ({"model": "m{}"}, "model"),
        ({"model_revision": "r{}"}, "model_revision"),
    ],
)
def test_a_new_job_with_an_unsafe_character_is_rejected(
    player: Player, changes: dict[str, Any], param: str
) -> None:
    for character, language in itertools.product("\u202e\x1b\x9b\n\t\x7f\u2066\0", ("en", "zh")):
        # The character is inserted as its JSON escape, so that nothing else changes.
        body = json.dumps(spec_with(**changes)).replace("{}", json.dumps(character)[1:-1])
        headers = {"Content-Type": "application/json", "Accept-Language": language}
        response = player.client.post("/v1/jobs?dry_run=true", content=body, headers=headers)

        error = response.json()["error"]
        assert (response.status_code, error["param"]) == (400, param)
        assert find_unsafe(response.text) is None
        if error["code"] == "unsafe_character":
            assert f"U+{ord(character):04X}" in error["message"]
            assert error["hint"]


def test_a_job_from_an_earlier_version_with_unsafe_characters_can_be_read_and_run(
    player: Player,
) -> None:
    job = player.submit(name="old")
    make_old(player.client.app.state.database, job)  # type: ignore[attr-defined]  # it is a TestClient

    assert "\u202e" in player.job(job)["name"]
    assert [each["id"] for each in player.get("/v1/jobs", search="evil")["data"]] == [job]
    claim = player.claim()
    assert "\u202e" in str(claim.spec.name)
    player.succeed(claim)


def make_old(database: Database, job: str) -> None:
    """Give a stored job a name and labels that an earlier version accepted."""
    with database.writing() as session:
        spec = dict(session.scalars(select(Job.spec).where(Job.id == job)).one())
        spec |= {"name": "evil\u202egpj.exe", "labels": {"team": COLOR}}
        number = session.scalars(
            update(Job).where(Job.id == job).values(spec=spec).returning(Job.number)
        ).one()
        text = f"{spec['name']}\nm\n{job}"  # as the migration writes it
        session.execute(update(JobText).where(JobText.number == number).values(text=text))


def run_malicious_job(player: Player) -> str:
    """Run a job whose worker, log and failure contain every unsafe character; return its id."""
    name = "w" + STORABLE
    player.hello(worker_id=name, host=COLOR, device={"name": STORABLE}, versions={COLOR: COLOR})
    job = player.submit(name="evil run")
    claim = player.claim(worker_id=name, device={"name": STORABLE})
    at = utc_now()
    player.sync(
        claim,
        LogRecord(seq=1, at=at, message=COLOR + STORABLE, level="warning"),
        make_metric(2, 1),
        MetricRecord(seq=3, at=at, step=1, values={"=cmd|' /C calc'!A0": -0.5, "\u202ex": 1.0}),
        notes=[
            {"number": 1, "code": "checkpoint_delayed", "figures": {"step": 1, "reason": STORABLE}}
        ],
    )
    player.print(claim, 0, f"{COLOR}\tend{STORABLE}\nfarewell\n")
    player.fail(claim, FailureReason.MODEL_REFUSED, detail=COLOR + STORABLE)
    return job


def test_text_responses_escape_unsafe_characters_from_a_job(player: Player) -> None:
    job = run_malicious_job(player)
    for path in (
        f"{job}/logs?format=text",
        f"{job}/loss?format=text",
        f"{job}/loss?format=csv",
        f"{job}/metrics?format=csv",
        f"{job}/metrics?format=ndjson",
    ):
        text = player.client.get(f"/v1/jobs/{path}").text
        assert find_unsafe(text.replace("\n", "").replace("\t", "")) is None, path
    log = player.client.get(f"/v1/jobs/{job}/logs?format=text").text
    assert "\\x1b[31mred\\x1b[0m \\x9b2J\tend" in log
    assert "\nfarewell\n" in log
    error = player.job(job)["error"]["detail"]
    assert error.startswith("\\x1b[31mred")
    attempt = player.get(f"/v1/jobs/{job}/attempts")["data"][0]
    assert attempt["error"]["detail"] == error
    for event in player.get(f"/v1/jobs/{job}/events")["data"]:
        assert find_unsafe(event["message"].replace("\n", "").replace("\t", "")) is None


def test_the_name_of_a_worker_is_escaped_in_an_event() -> None:
    sentence = event_words("attempt_started", "en", {"number": 1, "worker": f"w{COLOR}"})

    assert sentence == f"Attempt 1 started on worker w{escape(COLOR)}."


def test_a_report_escapes_unsafe_characters_from_a_worker() -> None:
    summary = make_summary(
        model=f"{COLOR}\u202emodel", device=f"GPU{COLOR}\n\u2028", lr_scheduler="\x1bc"
    )
    for language in ("en", "zh"):
        boxed = render_report(summary, language, UTC)
        assert find_unsafe(boxed.replace("\n", "")) is None
        assert all(line[0] in "╔║╠╚" for line in boxed.splitlines())
        markdown = render_markdown(summary, language, UTC)
        assert find_unsafe(markdown.replace("\n", "")) is None
    assert "GPU\\x1b[31m" in boxed


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"])
def test_a_text_cell_is_never_a_formula(text: str) -> None:
    assert escape_cell(text).startswith("'")


@pytest.mark.parametrize("name", ['=HYPERLINK("http://x")', "@x", "-loss", "+a", "\t=1"])
def test_a_series_name_that_looks_like_a_formula_is_escaped_in_csv(
    player: Player, name: str
) -> None:
    job = player.submit()
    claim = player.claim()
    player.sync(claim, MetricRecord(seq=1, at=utc_now(), step=1, values={name: -0.5, "loss": 2.0}))

    for query in ({}, {"names": f"{name},loss"}, {"names": "=unknown,loss"}):
        text = player.client.get(f"/v1/jobs/{job}/metrics", params={"format": "csv", **query}).text
        header, *rows = csv.reader(io.StringIO(text))
        assert not [cell for cell in header if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
        assert rows
        if query != {"names": "=unknown,loss"}:
            assert float(rows[0][header.index(escape_cell(name))]) == -0.5


def test_the_name_of_an_uploaded_file_is_stored_without_unsafe_characters(player: Player) -> None:
    row = json.dumps({"prompt": "a", "completion": "b"})
    name = "photo\u202egpj.\x1b[2Jjson"
    response = player.client.post("/v1/datasets", files={"file": (name, row)})

    assert response.status_code == 201, response.text
    assert find_unsafe(response.json()["filename"]) is None
    assert "photo" in response.json()["filename"]


def test_the_error_for_an_invalid_row_escapes_unsafe_characters(player: Player) -> None:
    row = json.dumps({f"k\u202e{COLOR}": 1}, ensure_ascii=False)
    response = player.client.post("/v1/datasets", files={"file": ("x.jsonl", row)})

    assert response.status_code == 400
    assert find_unsafe(response.text) is None
    assert "\\\\u202e" in response.text


def test_an_artifact_name_that_could_break_a_header_is_rejected(player: Player) -> None:
    player.submit()
    claim = player.claim()
    for name in ('a"b', "a%0d%0ab", "a%E2%80%AEb", "a;b"):
        assert player.put_artifact(claim, name).status_code in {400, 404}


def test_the_servers_log_escapes_unsafe_characters_in_a_path(server: Server) -> None:
    server.client.get("/v1/jobs/%C2%9B2J%E2%80%AE%1B%5B31m")

    server.wait_for_line("31m")
    lines = [line for line in server.log_lines() if str(line.get("path", "")).endswith("31m")]
    assert [line["path"] for line in lines] == ["/v1/jobs/\x9b2J\u202e\x1b[31m"]
    raw = server.log.read_text(encoding="utf-8")
    assert find_unsafe(raw.replace("\n", "")) is None


@pytest.mark.parametrize("module", ["app.ops.logs", "worker.logs"])
def test_no_log_line_contains_a_raw_unsafe_character(module: str) -> None:
    code = (
        f"import structlog; from {module} import configure_logging; configure_logging();"
        "structlog.get_logger('x').info('message', text='\\u202e\\x9b\\x1b中')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert json.loads(result.stderr)["text"] == "\u202e\x9b\x1b中"
    assert find_unsafe(result.stderr.strip()) is None
    assert "中" in result.stderr


def test_the_example_client_escapes_control_characters_in_an_error() -> None:
    body = json.dumps({"error": {"message": COLOR + "\u202e", "hint": "a\nb\t中文　字"}}).encode()

    printed = str(ApiError(400, body))

    assert printed == f"400: {escape(COLOR)}\\u202e a\nb\t中文　字"


def test_the_example_client_escapes_any_file_name_in_its_header(
    server: Server, tmp_path: Path
) -> None:
    file = tmp_path / 'a"; name="other"\r\n\r\nb.json'
    file.write_text(json.dumps({"prompt": "a", "completion": "b"}))

    dataset = Client(f"http://127.0.0.1:{server.port}").upload(file)

    stored = server.client.get(f"/v1/datasets/{dataset}").json()
    assert (stored["filename"], stored["rows"]) == ("a%22; name=%22other%22%0D%0A%0D%0Ab.json", 1)


def test_the_page_escapes_unsafe_characters(server: Server, tmp_path: Path) -> None:
    player = Player(server.client)
    rows = [{"prompt": COLOR + STORABLE, "completion": f"b\u202e{n}"} for n in range(3)]
    file = {"file": ("x\u202e.json", json.dumps(rows))}
    dataset = server.client.post("/v1/datasets", files=file).json()["id"]
    job = run_malicious_job(player)
    old = player.submit(dataset={"train": dataset})
    database = Database(f"sqlite:///{tmp_path}/stepline.db")
    make_old(database, old)
    database.close()
    seen: dict[str, str] = {}
    with running_chromium() as browser:
        page = browser.new_page()
        for path, expected in (
            ("/", "evil\\u202egpj.exe"),
            (f"/jobs/{old}", "team:\\x1b[31m"),
            (f"/jobs/{job}", "farewell"),
            (f"/compare?ids={job},{old}", "evil\\u202egpj.exe"),
            ("/workers", "w\\x01"),
            (f"/new?from={old}", "evil"),
        ):
            page.goto(f"http://127.0.0.1:{server.port}{path}")
            page.wait_for_function(
                "expected => [document.body.textContent, ...[...document.querySelectorAll('input')]"
                ".map(each => each.value)].join(' ').includes(expected)",
                arg=expected,
            )
            seen[path] = page.evaluate(
                "() => [document.title, document.body.textContent, ...[...document.querySelectorAll('input, [title], "
                "[aria-label]')].flatMap(each => [each.value, each.title, each.ariaLabel])].join('\\n')"
            )

    for path, text in seen.items():
        # The page itself puts isolate characters around names.
        isolates = str.maketrans("", "", "\u2068\u2069\n\t\r")
        assert find_unsafe(text.translate(isolates)) is None, path
    for character in STORABLE:
        if character not in "\n\t\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029":  # these end a log line
            assert escape(character) in seen[f"/jobs/{job}"], hex(ord(character))
