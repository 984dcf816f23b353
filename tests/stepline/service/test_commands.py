"""The commands of the terminal client outside a terminal, as a script uses them."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from stepline import Client, Job, WaitTimeout
from tests.e2e.conftest import make_job, tiny_rows
from tests.e2e.service import Service
from tests.stepline.service.command import run

NOBODY = "nobody"
"""A queue without workers."""


def test_watching_ends_at_the_time_limit_and_leaves_the_job_alone(
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
def test_the_exit_status_of_watch_says_that_a_job_is_paused_or_cancelled(
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


def test_download_and_logs_write_what_the_job_left(
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
