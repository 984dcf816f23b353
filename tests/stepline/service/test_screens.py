"""The screens of the terminal client in a real pseudo-terminal."""

import pytest

from stepline import Job
from tests.e2e.service import Service
from tests.programs.terminal import Terminal
from tests.stepline.service.command import stepline
from tests.stepline.service.conftest import LONG


@pytest.mark.parametrize(
    ("columns", "lang"), [(80, "en"), pytest.param(200, "zh", marks=pytest.mark.slow)]
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
