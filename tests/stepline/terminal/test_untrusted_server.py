"""The commands with a server that sends escape sequences, paths instead of names, or responses that it never finishes."""

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from rich.console import Console

from contracts.values.text import UNSAFE
from stepline import Client, SteplineError
from stepline.client.updates import Happened, StatusChanged
from stepline.client.views import Event, JobState
from stepline.terminal import exits
from stepline.terminal.main import main
from stepline.terminal.screens.job import Screen
from tests.stepline.replies import TIME, Reply, as_json, as_page, as_stream, job, replying

ROOT = Path(__file__).parents[3]
BAD = "\x1b]0;title\x07\x9b31m\u202e"
FAILURE = {"code": BAD, "message": BAD, "hint": BAD}
EVENT = {"id": BAD, "at": TIME, "level": "error", "code": "x", "message": BAD, "attempt": 1}
QUANTITY = {"value": 1.0, "low": 1.0, "high": 2.0}


def hostile_job(**changes: Any) -> dict[str, Any]:
    health = [{"code": BAD, "level": "warning", "step": 1}]
    words = {"name": BAD, "spec": {"model": BAD}, "health": health, "error": FAILURE}
    return job(**({"id": f"../../job{BAD}", "phase": BAD} | words | changes))


def hostile_plan() -> dict[str, Any]:
    memory = {"peak_memory_bytes": QUANTITY, "memory_bytes": 1}
    worker = {"worker": BAD, "device": BAD, "fits": True, "seconds": QUANTITY} | memory
    forecast = {"workers": [worker], "fits": True, "seconds": QUANTITY}
    rows = {"train_rows": 1, "eval_rows": 1, "steps": 1}
    notes = {"reason": FAILURE, "warnings": [FAILURE]}
    return {"spec": {"model": BAD}, "forecast": forecast | notes} | rows


def hostile_reply(method: str, path: str) -> Reply:
    path, _, query = path.partition("?")
    dataset = {"id": f"ds_{BAD}", "filename": BAD, "status": "ready", "created_at": TIME}
    model = {"id": BAD, "created": 1, "available": True, "workers": []}
    absent = dict.fromkeys(("architecture", "parameters", "bytes", "max_length"))
    digest = {"name": "adapter.zip", "bytes": 1, "sha256": "/../../../"}
    replies: dict[str, Reply] = {
        "/v1/jobs": as_page(hostile_job()),
        "/v1/models": as_page(model | absent),
        "/v1/datasets": as_page(dataset | {"rows": 1, "bytes": 1, "forms": {}}),
        "/v1/jobs/job_1": as_json(hostile_job()),
        "/v1/jobs/job_1/cancel": as_json({"error": FAILURE | {"param": BAD}}, 400),
        "/v1/jobs/job_1/stream": as_stream(("status", hostile_job()), ("event", EVENT)),
        "/v1/jobs/job_1/summary": (200, "text/plain", BAD.encode()),
        "/v1/jobs/job_1/logs": as_page(
            {"at": TIME, "attempt": 1, "source": "s", "level": None, "text": BAD}
        ),
        "/v1/jobs/job_1/artifacts": as_page(digest),
        "/v1/datasets/ds_1/preview": (200, "text/plain", f"\x1b[2mdim\x1b[0m{BAD}".encode()),
    }
    if method == "POST" and path == "/v1/jobs":
        return as_json(hostile_plan() if "dry_run" in query else hostile_job())
    if method == "POST" and path == "/v1/datasets":
        return as_json(dataset | {"rows": 1, "bytes": 1, "forms": {}})
    return replies[path]


@pytest.fixture(scope="module")
def hostile() -> Iterator[str]:
    with replying(hostile_reply) as address:
        yield address


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the file with the user's settings, which does not exist yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("STEPLINE_LANG", "en")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("{}\n")
    return tmp_path / "config" / "stepline" / "client.json"


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    "command",
    [
        "jobs",
        "models",
        "datasets list",
        "datasets upload rows.jsonl",
        "datasets preview ds_1 --model m",
        "submit --model m --data rows.jsonl --yes",
        "watch job_1",
        "logs job_1",
        "report job_1",
        "compare job_1 job_1",
        "cancel job_1",
        "download job_1",
    ],
)
def test_no_output_contains_a_character_that_a_terminal_interprets(
    hostile: str, capsys: pytest.CaptureFixture[str], command: str, form: str
) -> None:
    main([*command.split(), "--server", hostile, *(["--json"] if form == "json" else [])])

    printed = capsys.readouterr()
    shown = re.sub(r"\x1b\[[0-9;]*m", "", printed.out + printed.err)  # colors
    assert shown.strip()
    assert UNSAFE.findall(shown.replace("\n", "").replace("\t", "")) == []


def test_the_live_screen_shows_no_character_that_a_terminal_interprets() -> None:
    screen = Screen("en")
    screen.add(StatusChanged(JobState.model_validate(hostile_job())))
    screen.add(Happened(Event.model_validate(EVENT)))
    console = Console(width=200, color_system=None)

    with console.capture() as capture:
        console.print(screen)

    assert "title" in capture.get()
    assert UNSAFE.findall(capture.get().replace("\n", "")) == []


def test_a_download_into_a_directory_stays_in_the_directory(tmp_path: Path) -> None:
    artifact = {"name": "../../up", "bytes": 1, "sha256": "0" * 64}
    target = tmp_path / "a" / "b"
    target.mkdir(parents=True)

    def reply(method: str, path: str) -> Reply:
        if method == "POST":
            return as_json(hostile_job(id="../../evil"))
        return as_page(artifact, artifact | {"name": "adapter.zip"})

    with replying(reply) as address, Client(address) as client:
        with pytest.raises(SteplineError, match="cannot be the name of a file"):
            client.submit({}).download(target)
        with pytest.raises(SteplineError, match="cannot be the name of a file"):
            client.job("job_1").download(target, "../../up")

    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["rows.jsonl"]


@pytest.mark.parametrize("target", ["missing/file", "missing/", "pipe"])
def test_a_download_replaces_no_device_and_creates_no_file_named_as_a_directory(
    tmp_path: Path, target: str
) -> None:
    os.mkfifo(tmp_path / "pipe")  # a device must not be at stake if the test fails
    content = b"adapter"
    digest = hashlib.sha256(content).hexdigest()

    def reply(method: str, path: str) -> Reply:
        if path.endswith("/artifacts"):
            return as_page({"name": "adapter.zip", "bytes": len(content), "sha256": digest})
        return 200, "application/zip", content

    with replying(reply) as address:
        status = main(["download", "job_1", "--output", target, "--server", address])

    assert status == exits.FAILED
    assert (tmp_path / "pipe").is_fifo()
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "rows.jsonl"}


def test_the_columns_and_the_encoding_of_a_file_are_sent(tmp_path: Path) -> None:
    paths: list[str] = []

    def reply(method: str, path: str) -> Reply:
        paths.append(path)
        return hostile_reply(method, path)

    options = ["--column", "prompt=question", "--encoding", "gb18030"]
    with replying(reply) as address:
        status = main(["datasets", "upload", "rows.jsonl", *options, "--server", address])

    assert status == exits.SUCCEEDED
    assert parse_qs(urlsplit(paths[0]).query) == {
        "columns[prompt]": ["question"],
        "encoding": ["gb18030"],
        "filename": ["rows.jsonl"],
    }


def test_a_value_that_a_shell_would_execute_is_not_completed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_STEPLINE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "stepline watch ")
    monkeypatch.setenv("COMP_CWORD", "2")

    with replying(lambda *_: as_page(job(id="$(reboot)"), job(id="job_2"))) as address:
        monkeypatch.setenv("STEPLINE_SERVER_URL", address)
        main([])

    assert capsys.readouterr().out.split() == ["plain,job_2"]


def test_watch_ends_at_the_time_limit_although_the_server_is_frozen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        address = f"http://127.0.0.1:{frozen.getsockname()[1]}"
        status = main(["watch", "job_1", "--timeout", "0.2", "--server", address, "--json"])

    assert status == exits.TIMED_OUT
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "timeout"


def test_watch_continues_if_the_job_is_retried_when_it_has_just_failed() -> None:
    statuses = iter(["running", "queued", "cancelled"])
    endings = iter(["failed", "cancelled"])

    def reply(method: str, path: str) -> Reply:
        if "/stream" in path:
            return as_stream(("status", job(status=next(endings))))
        return as_json(job(status=next(statuses)))

    with replying(reply) as address:
        assert main(["watch", "job_1", "--server", address]) == exits.CANCELLED


@pytest.mark.parametrize("command", ["watch job_1", "report job_1 --json"])
def test_a_response_of_another_program_is_reported(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    def reply(method: str, path: str) -> Reply:
        if "/stream" in path:
            return as_stream(("status", {}))
        if "/summary" in path:
            return 200, "text/html", b"<html>"
        return as_json(job(status="running"))

    with replying(reply) as address:
        status = main([*command.split(), "--server", address])

    assert status in {exits.FAILED, exits.UNREACHABLE}
    assert "rror" in "".join(capsys.readouterr())


def test_a_deletion_whose_response_was_lost_has_succeeded() -> None:
    replies = iter([None, as_json({"error": {"code": "job_not_found", "message": "gone"}}, 404)])

    with replying(lambda *_: next(replies)) as address:
        assert main(["delete", "job_1", "--yes", "--server", address]) == exits.SUCCEEDED


def test_a_command_for_several_jobs_stops_if_the_server_cannot_be_reached(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = main(["cancel", "job_1", "job_2", "--server", "http://user:secret@127.0.0.1:9"])

    (line,) = capsys.readouterr().err.splitlines()
    assert status == exits.UNREACHABLE
    assert "Cannot reach http://user:***@127.0.0.1:9 " in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "dataset=rows", "--model", "m", "--data", "rows.jsonl"], "is not an object"),
        (["--name", "\udcff", "--model", "m", "--data", "ds_1"], "not valid text"),
        (["--model", "m", "--data", "rows.jsonl"], "Add --yes"),
    ],
)
def test_an_argument_that_cannot_be_sent_is_a_usage_error(
    hostile: str, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    yes = [] if message == "Add --yes" else ["--yes"]

    status = main(["submit", *arguments, *yes, "--server", hostile])

    assert status == exits.USAGE
    assert message in capsys.readouterr().err


def test_a_number_that_json_does_not_contain_is_sent_as_text(hostile: str) -> None:
    fields = ["--set", "training.learning_rate=NaN"]

    status = main(
        ["submit", "--model", "m", "--data", "ds_1", *fields, "--yes", "--server", hostile]
    )

    assert status == exits.SUCCEEDED


def test_a_command_that_sigterm_ends_restores_the_terminal(tmp_path: Path) -> None:
    """The handler raises SystemExit, so blocks such as the one that shows the cursor again are left."""

    def reply(method: str, path: str) -> Reply:
        os.kill(os.getpid(), signal.SIGTERM)
        return as_page()

    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with replying(reply) as address:
            status = main(["jobs", "--server", address])
    finally:
        signal.signal(signal.SIGTERM, before)

    assert status == exits.TERMINATED


def test_a_settings_file_that_cannot_be_read_is_not_replaced(
    settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.parent.mkdir(parents=True)
    settings.write_text('{"keys": {"http://gpu-host:8000": "a-key"},}')

    status = main(["config", "lang", "zh"])

    assert status == exits.USAGE
    assert str(settings) in capsys.readouterr().err
    assert "a-key" in settings.read_text()


def test_a_file_that_grows_during_the_upload_is_sent_up_to_its_first_size(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"

    def reply(method: str, path: str) -> Reply:
        return hostile_reply(method, path)

    with replying(reply) as address, Client(address, attempts=1) as client:
        dataset = client.datasets.upload(
            rows, large_bytes=1 << 40, on_progress=lambda *_: rows.write_text("{}\n" * 9)
        )

    assert dataset.rows == 1


def test_the_shell_example_prints_why_the_server_rejected_a_request(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").rename(tmp_path / 'a;b,"c.jsonl')
    (tmp_path / "job.json").write_text('{"dataset": {"train": "ds_0"}}')

    def reply(method: str, path: str) -> Reply:
        if path == "/v1/datasets":
            return as_json({"id": "ds_1", "status": "ready"})
        return as_json({"error": {"code": "invalid_field", "message": "no such model"}}, 400)

    with replying(reply) as address:
        done = subprocess.run(
            [ROOT / "examples" / "client.sh", address, 'a;b,"c.jsonl', "job.json", "out"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode != 0
    assert "no such model" in done.stderr
    assert "Submitted" not in done.stdout
