"""The screens of the terminal client in a real pseudo-terminal."""

import re

import pytest
from rich.cells import cell_len

from stepline import Job
from tests.e2e.service import Service
from tests.programs.terminal import ESCAPE, Terminal
from tests.stepline.service.command import stepline
from tests.stepline.service.conftest import LONG


@pytest.mark.parametrize(
    ("columns", "lang"),
    [
        (80, "en"),
        pytest.param(80, "zh", marks=pytest.mark.slow),
        pytest.param(200, "en", marks=pytest.mark.slow),
        pytest.param(200, "zh", marks=pytest.mark.slow),
    ],
)
def test_the_screen_shows_the_job_and_fits_the_terminal(
    finished: Job, environment: dict[str, str], columns: int, lang: str
) -> None:
    with Terminal(stepline("watch", finished.id, "--lang", lang), environment, columns) as terminal:
        status = terminal.wait()

    words = {"en": ("succeeded", "step 30 of 30", "Loss"), "zh": ("成功", "第 30 步", "训练 loss")}[
        lang
    ]
    assert status == 0
    for word in (finished.id, "100 %", *words):
        assert word in terminal.last_frame, terminal.last_frame
    assert any("\u2801" <= character <= "\u28ff" for character in terminal.last_frame)
    assert max(cell_len(line) for line in terminal.last_frame.splitlines()) <= columns


def test_ctrl_c_leaves_the_job_running_and_prints_how_to_watch_it_again(
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


@pytest.mark.parametrize(
    ("columns", "lang"), [(80, "en"), pytest.param(200, "zh", marks=pytest.mark.slow)]
)
def test_the_table_of_jobs_is_refreshed_until_ctrl_c(
    running: str, finished: Job, environment: dict[str, str], columns: int, lang: str
) -> None:
    with Terminal(stepline("jobs", "--watch", "--lang", lang), environment, columns) as terminal:
        terminal.wait_for(running)
        terminal.wait_for_again(running)
        terminal.press_ctrl_c()
        status = terminal.wait()

    assert status == 130
    assert any(line.startswith(f"{finished.id}  ") for line in terminal.lines)
    assert "Traceback" not in terminal.output
    assert max(cell_len(ESCAPE.sub("", line)) for line in terminal.lines) <= columns


@pytest.mark.parametrize(
    ("variables", "term", "sequences"),
    [({"NO_COLOR": "1"}, "xterm-256color", {"1", "2", "0"}), ({}, "dumb", set())],
)
def test_a_terminal_without_colors_gets_none(
    finished: Job,
    environment: dict[str, str],
    variables: dict[str, str],
    term: str,
    sequences: set[str],
) -> None:
    """A terminal that cannot move its cursor gets lines, and one that shows no colors gets bold and dim text."""
    with Terminal(
        stepline("watch", finished.id), environment | variables, 80, term=term
    ) as terminal:
        status = terminal.wait()

    styles = {
        part for each in re.findall(r"\x1b\[([0-9;]*)m", terminal.raw) for part in each.split(";")
    }
    assert status == 0
    assert "succeeded" in terminal.output
    assert styles <= sequences
    assert ("\x1b[" in terminal.raw) == bool(sequences)
