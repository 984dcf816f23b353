"""The demo's texts and output and, in a slow test, a complete run."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wcwidth import wcswidth

from contracts.dataset.rows import parse_row
from contracts.job import JobStatus, Phase
from examples.demo.__main__ import DemoFailed, run
from examples.demo.general_text import general_rows
from examples.demo.language import SENTENCES, choose_language
from examples.demo.progress import Progress, draw_curve
from examples.demo.tickets import COUNT, SEED, TICKETS_FILE, ticket_rows
from stepline.client.views import JobState
from stepline.client.views import Progress as ProgressView
from tests.programs.processes import find_processes, marked

ROOT = Path(__file__).parent.parent.parent


def test_the_bundled_tickets_equal_the_output_of_their_generator() -> None:
    bundled = [json.loads(line) for line in TICKETS_FILE.read_text(encoding="utf-8").splitlines()]

    assert bundled == list(ticket_rows(SEED, COUNT))


def test_no_ticket_is_repeated_so_no_evaluation_row_is_also_a_training_row() -> None:
    conversations = {repr(parse_row(row, 1)) for row in ticket_rows(SEED, COUNT)}

    assert len(conversations) == COUNT


def test_the_text_that_the_base_model_is_trained_on_contains_no_answers_to_the_task() -> None:
    answers = {row["output"] for row in ticket_rows(SEED, COUNT)}
    first_words = {answer[:4] for answer in answers}

    general = "\n".join(text for row in general_rows(seed=7, count=2_000) for text in row.texts)

    assert len(answers) == 16
    assert [word for word in first_words if word in general] == []


def test_the_general_text_is_reproducible_and_contains_both_languages() -> None:
    texts = [text for row in general_rows(seed=1, count=40) for text in row.texts]

    assert texts == [text for row in general_rows(seed=1, count=40) for text in row.texts]
    assert any("买" in text for text in texts)
    assert any("bought" in text for text in texts)


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "zh_TW"}, "zh"),
    ],
)
def test_the_demo_uses_the_language_of_the_terminal(environ: dict[str, str], language: str) -> None:
    assert choose_language(environ) == language


def test_every_sentence_has_the_same_placeholders_in_both_languages() -> None:
    placeholders = {
        name: [{part.split("}")[0] for part in text.split("{")[1:]} for text in pair]
        for name, pair in SENTENCES.items()
    }

    assert [name for name, (english, chinese) in placeholders.items() if english != chinese] == []


def test_the_curve_falls_with_the_losses() -> None:
    curve = draw_curve([8.0 - step / 100 for step in range(800)])

    assert len(curve) == 24
    assert curve[0] == "█"
    assert curve[-1] == "▁"
    assert list(curve) == sorted(curve, reverse=True)
    assert draw_curve([]) == ""
    assert draw_curve([1.0]) == "█"


def _job_in(phase: str, rows: dict[str, Any] | None, eta_seconds: float | None = None) -> JobState:
    step: dict[str, Any] = {"step": 0, "total_steps": 10, "epoch": None, "percent": None}
    shown: dict[str, Any] = {
        "status": JobStatus.RUNNING,
        "phase": Phase(phase),
        "progress": ProgressView.model_validate(step | {"rows": rows}),
        "eta_seconds": eta_seconds,
    }
    return JobState.model_construct(**shown)


def test_a_phase_without_steps_shows_its_row_progress(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("en")

    progress.show(_job_in("loading", None), {})
    for done, left in ((0, None), (100, 190.0), (300, 120.0), (310, 119.0)):
        rows = {"done": done, "total": 400, "seconds_left": left}
        progress.show(_job_in("evaluating", rows), {})
    rows = {"done": 7, "total": 400, "seconds_left": 30.0}
    progress.show(_job_in("evaluating", rows, eta_seconds=61), {5: 1.0})

    assert [
        line.split("  ") for line in capsys.readouterr().out.replace("      ", "").splitlines()
    ] == [
        ["loading"],
        ["evaluating", "0/400 rows"],
        ["evaluating", "100/400 rows", "left 3:10"],
        ["evaluating", "300/400 rows", "left 2:00"],
        ["evaluating", "step 5/10", "7/400 rows", "loss 1.0000", "█", "left 1:01"],
    ]


@pytest.fixture
def port_in_use() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_a_port_in_use_is_reported_before_any_preparation(tmp_path: Path, port_in_use: int) -> None:
    with pytest.raises(DemoFailed, match=f"Port {port_in_use} is in use"):
        run(tmp_path / "demo", port_in_use, once=True, language="en")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--once", "--port", "{}"], 1, "Port {} is in use"),
        (["--port={}"], 1, "Port {} is in use"),
        (["--port", "99999"], 1, "Port 99999 is in use or not allowed"),
        (["--once"], 3, "installing"),
    ],
)
def test_the_script_checks_the_port_before_the_installation(
    tmp_path: Path, port_in_use: int, arguments: list[str], status: int, message: str
) -> None:
    (tmp_path / "script").mkdir()
    shutil.copy(ROOT / "script/demo", tmp_path / "script/demo")
    (tmp_path / "script/setup").write_text("#!/bin/sh\necho installing >&2\nexit 3\n")
    (tmp_path / "script/setup").chmod(0o755)
    (tmp_path / "examples").symlink_to(ROOT / "examples")

    done = subprocess.run(
        [tmp_path / "script/demo", *(each.format(port_in_use) for each in arguments)],
        env=os.environ | {"PYTHON": sys.executable, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == status
    assert done.stderr.startswith(message.format(port_in_use))


@pytest.mark.slow
def test_the_demo_halves_the_perplexity_and_leaves_no_process_running(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    environment = os.environ | {
        "LC_ALL": "zh_CN.UTF-8",
        "PYTHONIOENCODING": "utf-8",
        **marked(mark),
    }

    done = subprocess.run(
        [sys.executable, "-m", "examples.demo", "--once", "--data-dir", str(tmp_path / "demo")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1_800,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    box = [line for line in done.stdout.splitlines() if line[:1] in "╔║╠╚" and line]
    assert len(box) > 20
    assert {wcswidth(line) for line in box} == {64}
    assert "训练结果摘要" in done.stdout
    assert re.search(r"网页查看：http://127\.0\.0\.1:\d+/jobs/job_\w+$", done.stdout, re.MULTILINE)
    assert find_processes(mark, tmp_path) == {}
