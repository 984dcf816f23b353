"""The health of a job on the live screen, in both languages."""

import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from contracts.verdicts.finding_names import FINDING_NAMES
from stepline.client.updates import StatusChanged
from stepline.client.views import JobState
from stepline.terminal.language import Language
from stepline.terminal.screens.job import Screen
from tests.stepline.replies import job

PAGE_NAMES = Path(__file__).parents[4] / "web/src/texts/job/health.ts"
SPIKE = {"code": "loss_spike", "level": "warning", "step": 35}
RISING = {"code": "eval_loss_rising", "level": "error", "step": 40}
SLOW = {"code": "slowdown", "level": "info", "step": 41}
NEW = {"code": "of_a_newer_server", "level": "warning", "step": 42}


def show(language: Language, **changes: Any) -> str:
    screen = Screen(language)
    screen.add(StatusChanged(JobState.model_validate(job(**({"status": "running"} | changes)))))
    console = Console(width=300, color_system=None)
    with console.capture() as capture:
        console.print(screen)
    return capture.get()


@pytest.mark.parametrize(
    ("health", "english", "chinese"),
    [
        ([], "Health: healthy", "健康状况：正常"),
        ([SLOW], "Health: healthy", "健康状况：正常"),
        ([SPIKE | {"acknowledged": True}], "Health: healthy", "健康状况：正常"),
        (
            [RISING, SPIKE, SLOW, NEW],
            "Health: Eval loss rising (step 40), Loss spike (step 35), of_a_newer_server (step 42)",
            "健康状况：验证 loss 上升（第 40 步）、loss 尖峰（第 35 步）、of_a_newer_server（第 42 步）",
        ),
    ],
)
def test_the_live_screen_names_each_open_warning_with_its_step(
    health: list[dict[str, Any]], english: str, chinese: str
) -> None:
    expected: dict[Language, str] = {"en": english, "zh": chinese}
    for language, words in expected.items():
        shown = show(language, health=health)
        assert words in shown
        assert not re.search(r"loss_spike|slowdown", shown)


def test_a_job_that_cannot_be_judged_is_not_called_healthy() -> None:
    progress = {"step": 0, "total_steps": 2, "epoch": 0.0, "percent": 0.0}

    assert "Health" not in show("en", progress=progress)
    assert "Health" not in show("en", status="succeeded")
    assert "Health: unknown" in show("en", unreachable=True, health=[SPIKE])


def test_the_page_and_the_terminal_use_the_same_names() -> None:
    block = PAGE_NAMES.read_text(encoding="utf-8").split("const NAMES = texts({")[1].split("})")[0]

    found = {code: (en, zh) for code, en, zh in re.findall(r'(\w+): \["(.+)", "(.+)"\]', block)}

    assert found == {code.value: names for code, names in FINDING_NAMES.items()}
