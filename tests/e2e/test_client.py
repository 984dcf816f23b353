"""The Python client and the terminal client against a complete, real service."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from stepline import Client, Job, ServerUnreachable, WaitTimeout
from stepline.client.errors import Conflict, InvalidRequest, NotFound
from stepline.client.updates import Disconnected, Happened, Metrics, Rewound, StatusChanged, Update
from tests.e2e.conftest import make_job, spec_of_job, tiny_rows
from tests.e2e.service import Service
from tests.programs.ports import find_free_port
from tests.programs.terminal import Terminal

LONG = 1_000_000
NOBODY = "nobody"
"""A queue without workers."""


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.url) as opened:
        yield opened


@dataclass
class Watched:
    """A job that has succeeded, and what its upload and its watch reported."""

    job: Job
    file_bytes: int
    sent_bytes: list[int] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)


@pytest.fixture(scope="module")
def watched(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    rows = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows.write_text(tiny_rows(40))
    with Client(service.url) as opened:
        sent: list[int] = []
        dataset = opened.datasets.upload(rows, on_progress=lambda done, _: sent.append(done))
        job = opened.submit(spec_of_job(dataset.id, 30) | {"name": "first"})
        watched = Watched(job, rows.stat().st_size, sent)
        job.watch(watched.updates.append)
        yield watched


@pytest.fixture(scope="module")
def finished(watched: Watched) -> Job:
    return watched.job


@pytest.fixture(scope="module")
def running(service: Service, watched: Watched) -> str:
    """Return the id of a job that trains until the service stops."""
    job = service.post_job(**make_job(service, steps=LONG))
    service.wait_for_step(job, 1)
    service.lower_training_priority()
    return job


@pytest.fixture
def environment(service: Service, tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STEPLINE_")}
    return kept | {
        "STEPLINE_SERVER_URL": service.url,
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "LC_ALL": "C.UTF-8",
    }


def stepline(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "stepline.terminal.main", *arguments]


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        stepline(*arguments),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )


def loss_steps(updates: list[Update]) -> list[int]:
    """Return the steps of all losses, in the order received; a new attempt discards those that it repeats."""
    steps: list[int] = []
    for update in updates:
        if isinstance(update, Rewound):
            steps = [step for step in steps if step <= update.step]
        elif isinstance(update, Metrics) and "loss" in update.series:
            steps += update.series["loss"].step
    return steps


def test_a_job_is_submitted_watched_and_downloaded(watched: Watched, tmp_path: Path) -> None:
    adapter = watched.job.download(tmp_path)

    assert watched.job.status == "succeeded"
    assert watched.sent_bytes[-1] == watched.file_bytes
    assert loss_steps(watched.updates) == list(range(1, 31))
    states = [update.job.status for update in watched.updates if isinstance(update, StatusChanged)]
    assert states[-1] == "succeeded"
    assert any(isinstance(update, Happened) for update in watched.updates)
    assert "adapter_model.safetensors" in zipfile.ZipFile(adapter).namelist()
    assert [path.name for path in tmp_path.iterdir()] == [adapter.name]
    assert watched.job.view.load_spec().training.max_steps == 30


def test_a_repeated_submission_creates_one_job(client: Client, service: Service) -> None:
    spec = make_job(service, queue=NOBODY)

    first = client.submit(spec, idempotency_key="a-key")
    second = client.submit(spec, idempotency_key="a-key")

    assert first.id == second.id


def test_a_rejected_request_raises_an_error_with_code_and_param(
    client: Client, service: Service, finished: Job
) -> None:
    spec = make_job(service) | {"training": {"epochs": 0, "seed": -1}}

    with pytest.raises(InvalidRequest) as invalid:
        client.submit(spec)
    with pytest.raises(NotFound):
        client.job("job_000000000000000000000000").refresh()
    with pytest.raises(Conflict):
        finished.pause()

    assert (invalid.value.code, invalid.value.param) == ("invalid_field", "training.epochs")
    assert [problem.param for problem in invalid.value.errors] == [
        "training.epochs",
        "training.seed",
    ]


def test_a_server_that_does_not_answer_raises_server_unreachable() -> None:
    with (
        Client(f"http://127.0.0.1:{find_free_port()}", attempts=2) as client,
        pytest.raises(ServerUnreachable),
    ):
        client.workers()


def test_a_watched_job_keeps_every_update_across_a_restart_of_the_server(
    client: Client, service: Service, running: str
) -> None:
    updates: list[Update] = []

    with client.job(running).updates() as received:
        for update in received:
            updates.append(update)
            lost = [place for place, each in enumerate(updates) if isinstance(each, Disconnected)]
            if isinstance(update, Metrics) and not lost:
                service.stop("api")
                service.start_api()
            if lost and loss_steps(updates[lost[-1] :]):
                break

    steps = loss_steps(updates)
    assert steps == list(range(1, len(steps) + 1))


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


@pytest.mark.parametrize(
    ("columns", "lang"), [(80, "en"), pytest.param(200, "zh", marks=pytest.mark.slow)]
)
def test_the_screen_shows_the_job_and_fits_the_terminal(
    finished: Job, environment: dict[str, str], columns: int, lang: str
) -> None:
    with Terminal(stepline("watch", finished.id, "--lang", lang), environment, columns) as terminal:
        status = terminal.wait()

    words = {"en": ("succeeded", "step 30 of 30", "Loss"), "zh": ("成功", "第 30 步", "训练 loss")}[lang]
    assert status == 0
    for word in (finished.id, "100 %", *words):
        assert word in terminal.last_frame, terminal.last_frame
    assert any("\u2801" <= character <= "\u28ff" for character in terminal.last_frame)
    assert max(len(line) for line in terminal.last_frame.splitlines()) <= columns


def test_ctrl_c_leaves_the_job_running_and_says_how_to_come_back(
    service: Service, running: str, environment: dict[str, str]
) -> None:
    with Terminal(stepline("watch", running), environment, 80) as terminal:
        terminal.wait_for(f"of {LONG}")
        terminal.press_ctrl_c()
        status = terminal.wait()

    assert status == 130
    assert f"stepline watch {running}" in terminal.output
    assert "Traceback" not in terminal.output
    assert service.job(running)["status"] == "running"


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
