"""The commands of the terminal client outside a terminal, as a script uses them."""

import json
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stepline import Client, Job, WaitTimeout
from tests.e2e.conftest import make_job, tiny_rows
from tests.e2e.service import Service
from tests.programs.terminal import heeded_interruptions
from tests.stepline.service.command import run, stepline

ROOT = Path(__file__).parents[3]
NOBODY = "nobody"
"""A queue without workers."""


def test_watching_ends_at_the_time_limit_and_does_not_affect_the_job(
    client: Client, environment: dict[str, str], service: Service
) -> None:
    job = client.submit(make_job(service, queue=NOBODY))

    with pytest.raises(WaitTimeout):
        job.watch(timeout_seconds=0.1)
    watched = run(environment, "watch", job.id, "--timeout", "0.1")

    assert watched.returncode == 124
    assert f"stepline watch {job.id}" in watched.stderr
    assert job.refresh().status == "queued"


@pytest.mark.slow
def test_the_exit_status_of_watch_shows_that_a_job_is_paused_or_cancelled(
    service: Service, environment: dict[str, str]
) -> None:
    job = service.post_job(**make_job(service, queue=NOBODY))

    done = [
        run(environment, *arguments).returncode
        for arguments in (
            ("pause", job),
            ("watch", job),
            ("resume", job),
            ("cancel", job),
            ("watch", job),
            ("delete", job, "--yes"),
            ("watch", job),
        )
    ]

    assert done == [0, 4, 0, 0, 3, 0, 1]


def test_submit_uploads_the_file_shows_the_plan_and_prints_the_id(
    service: Service, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text(tiny_rows(40))
    given = ("--model", "tiny-qwen2", "--data", str(tmp_path / "rows.jsonl"))
    small = ("--set", "training.max_steps=2", "--set", f"queue={NOBODY}")

    unconfirmed = run(environment, "submit", *given, *small)
    planned = run(environment, "submit", *given, *small, "--dry-run", "--json")
    done = run(environment, "submit", *given, *small, "--yes")

    assert unconfirmed.returncode == 2
    assert "--yes" in unconfirmed.stderr
    assert json.loads(planned.stdout)["steps"] == 2
    assert done.returncode == 0, done.stderr
    assert "Training rows" in done.stderr
    job = service.job(done.stdout.strip())
    assert job["spec"]["training"]["max_steps"] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["jobs"],
        ["models"],
        ["workers"],
        ["datasets", "list"],
        ["compare", "JOB", "JOB"],
        ["report", "JOB"],
    ],
)
def test_a_command_prints_json_for_programs_and_text_for_people(
    finished: Job, environment: dict[str, str], arguments: list[str]
) -> None:
    arguments = [finished.id if argument == "JOB" else argument for argument in arguments]

    for_programs = run(environment, *arguments, "--json")
    for_people = run(environment, *arguments)

    assert isinstance(json.loads(for_programs.stdout), dict)
    assert for_people.returncode == 0
    assert for_people.stdout.strip()
    with pytest.raises(ValueError, match=r"."):
        json.loads(for_people.stdout)


def test_watch_prints_plain_lines_outside_a_terminal(
    finished: Job, environment: dict[str, str]
) -> None:
    watched = run(environment, "watch", finished.id)

    assert watched.returncode == 0
    assert "Job succeeded." in watched.stdout
    assert "\x1b" not in watched.stdout


def test_download_saves_the_adapter_and_logs_prints_the_log(
    finished: Job, environment: dict[str, str], tmp_path: Path
) -> None:
    saved = run(environment, "download", finished.id, "--output", str(tmp_path), "--json")
    logs = run(environment, "logs", finished.id, "--follow")

    assert zipfile.is_zipfile(json.loads(saved.stdout)["path"])
    assert "training" in logs.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["watch", "job_000000000000000000000000"], 1, "job_not_found"),
        (["jobs", "--server", "http://127.0.0.1:9"], 5, "server_unreachable"),
        (["jobs", "--sort", "color"], 2, "invalid_field"),
        (["jobs", "--limit", "0"], 2, "usage"),
        (["compare", "JOB"], 2, "usage"),
    ],
)
def test_a_failed_command_has_an_exit_status_and_a_code(
    environment: dict[str, str], arguments: list[str], status: int, code: str
) -> None:
    failed = run(environment, *arguments, "--json")

    error: dict[str, Any] = json.loads(failed.stdout)["error"]
    assert failed.returncode == status
    assert error["code"] == code


def test_the_configured_server_is_used_unless_a_variable_or_an_option_names_another(
    service: Service, environment: dict[str, str]
) -> None:
    del environment["STEPLINE_SERVER_URL"]

    stored = run(environment, "config", "server", f"{service.url}/")
    listed = run(environment, "workers", "--json")
    shown = run(environment, "config", "server")
    overridden = run(environment | {"STEPLINE_SERVER_URL": "http://127.0.0.1:9"}, "workers")

    assert stored.returncode == 0, stored.stderr
    assert json.loads(listed.stdout)["data"]
    assert shown.stdout.strip() == service.url
    assert overridden.returncode == 5


def test_login_checks_the_server_and_stores_its_address_and_key_for_it_alone(
    service: Service, environment: dict[str, str], tmp_path: Path
) -> None:
    del environment["STEPLINE_SERVER_URL"]
    received: list[str | None] = []

    with answering(b'{"data": [], "has_more": false, "cursor": null}', received) as other:
        stored = run(environment, "login", other, "--key", "sk-of-a-test")
        listed = run(environment, "workers")
        elsewhere = run(environment, "config", "--server", service.url)
        shown = run(environment, "config")
        removed = run(environment, "login", other, "--key", "", "--json")

    (file,) = (tmp_path / "config").rglob("*.json")
    assert (stored.returncode, listed.returncode) == (0, 0), stored.stderr
    assert received == ["Bearer sk-of-a-test"] * 2 + [None]
    assert "not set" in elsewhere.stdout
    assert other in shown.stdout
    assert "not set" not in shown.stdout
    assert json.loads(removed.stdout) == {"server": other, "key": False, "file": str(file)}
    assert "sk-of-a-test" not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    outputs = (stored, listed, elsewhere, shown, removed)
    assert not any("sk-of-a-test" in each.stdout + each.stderr for each in outputs)


def test_login_stores_nothing_if_the_server_is_not_stepline(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with answering(b"<html>", []) as other:
        done = run(environment, "login", other, "--json")

    assert done.returncode == 5
    assert json.loads(done.stdout)["error"]["code"] == "server_unreachable"
    assert list((tmp_path).rglob("*.json")) == []


def test_bash_completes_commands_and_the_ids_of_jobs(
    finished: Job, environment: dict[str, str], tmp_path: Path
) -> None:
    """The name of a job completes to its id."""
    (tmp_path / "stepline").write_text(
        f'#!/bin/sh\nexec {sys.executable} -m stepline.terminal.main "$@"\n'
    )
    (tmp_path / "stepline").chmod(0o755)
    script = """
        eval "$(stepline completion bash)"
        words() {
            COMP_WORDS=(stepline "$@") COMP_CWORD=$# COMPREPLY=()
            _stepline_completion stepline
            echo "${COMPREPLY[@]}"
        }
        words wat
        words watch "$1"
        words watch "$2"
        words watch --server http://127.0.0.1:9 ""
    """

    done = subprocess.run(
        ["bash", "-c", script, "bash", finished.id[:12], "fir"],
        env=environment | {"PATH": f"{tmp_path}:{environment['PATH']}", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.splitlines() == ["watch", finished.id, finished.id, ""], done.stderr
    assert done.stderr == ""


def test_models_and_adapters_are_listed_apart(finished: Job, environment: dict[str, str]) -> None:
    listed = run(environment, "models").stdout
    adapters = json.loads(run(environment, "models", "--kind", "adapter", "--json").stdout)["data"]

    bases, _, tuned = listed.partition("\n\n")
    assert "tiny-qwen2" in bases
    assert "ft:" not in bases
    assert finished.id in tuned
    assert [each["job"] for each in adapters] == [finished.id]


@pytest.mark.slow
def test_a_preview_that_is_not_printed_to_a_terminal_has_no_colors(
    finished: Job, environment: dict[str, str]
) -> None:
    dataset = finished.view.spec["dataset"]["train"]

    preview = run(environment, "datasets", "preview", dataset, "--model", "tiny-qwen2")

    assert preview.returncode == 0, preview.stderr
    assert "⟦" in preview.stdout
    assert "\x1b" not in preview.stdout


def test_jobs_that_change_are_printed_until_an_interruption_outside_a_terminal(
    client: Client, service: Service, finished: Job, environment: dict[str, str]
) -> None:
    job = client.submit(make_job(service, queue=NOBODY) | {"name": "changing"})
    command = stepline("jobs", "--search", "changing", "--watch", "--json")

    with ExitStack() as stack:
        with heeded_interruptions():
            watching = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        stack.enter_context(watching)
        stack.callback(watching.kill)
        assert watching.stdout is not None
        before = json.loads(watching.stdout.readline())
        job.cancel()
        after = json.loads(watching.stdout.readline())
        watching.send_signal(signal.SIGINT)
        status = watching.wait(60)

    assert [before["status"], after["status"]] == ["queued", "cancelled"]
    assert before["id"] == after["id"] == job.id
    assert status == 130


def test_a_reader_that_stops_reading_is_no_error(
    finished: Job, environment: dict[str, str]
) -> None:
    with subprocess.Popen(
        stepline("logs", finished.id),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as reading:
        assert reading.stdout is not None
        assert reading.stderr is not None
        reading.stdout.close()
        errors = reading.stderr.read()

    assert reading.returncode == 0
    assert errors == b""


@contextmanager
def answering(body: bytes, received: list[str | None]) -> Iterator[str]:
    """Yield the address of a server that answers every request with `body` and collects the keys that it receives."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append(self.headers.get("Authorization"))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *about: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
