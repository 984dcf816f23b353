"""The command without a service: its startup, its help and its texts."""

import string
import subprocess
import sys

import pytest

from stepline.terminal.main import CLIENT_COMMANDS, SERVER_COMMANDS, commands, main
from stepline.terminal.words import WORDS

HEAVY = {"httpx2", "pydantic", "rich.console", "rich.live", "torch", "fastapi", "celery", "asyncio"}


@pytest.mark.parametrize("arguments", [["--help"], ["config"], ["completion", "zsh"]])
def test_a_command_without_requests_imports_no_library_that_is_slow_to_load(
    arguments: list[str],
) -> None:
    program = (
        f"import sys; from stepline.terminal.main import main; main({arguments}); "
        "print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout
    assert HEAVY & set(done.stderr.split()) == set()


def test_the_help_names_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])

    shown = capsys.readouterr().out
    assert all(name in shown for name in (*CLIENT_COMMANDS, *SERVER_COMMANDS))


def test_every_command_has_a_help_text_and_accepts_the_common_options() -> None:
    for name in CLIENT_COMMANDS:
        command = commands.get_command(None, name)  # type: ignore[arg-type]  # the context is not used
        assert command is not None
        for each in getattr(command, "commands", {"": command}).values():
            options = {option for parameter in each.params for option in parameter.opts}
            assert {"--json", "--lang", "--server"} <= options, name
            assert each.help, name


def test_the_error_for_an_unknown_command_names_a_similar_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPLINE_LANG", "en")

    status = main(["wach"])

    assert status == 2
    assert "Did you mean watch?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["jobs", "--statuss", "x"], "没有选项 --statuss。是否想用 --status？"),
        (["jobs", "--limit", "0"], "--limit 的值无效："),
        (["watch"], "缺少 JOB。"),
        (["compare", "job_1"], "请给出至少两个任务。"),
    ],
)
def test_a_usage_error_is_in_the_language_of_the_user(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setenv("STEPLINE_LANG", "zh")

    status = main(arguments)

    assert status == 2
    assert message in capsys.readouterr().err


def test_the_language_and_the_server_may_stand_before_the_command() -> None:
    """In a process of their own, because the texts are read at the start."""
    command = [sys.executable, "-m", "stepline.terminal.main", "--lang", "zh", "--server", "x:1"]

    helped, shown = (
        subprocess.run([*command, *more], capture_output=True, text=True, check=True).stdout
        for more in (["jobs", "--help"], ["config"])
    )

    assert "列出任务" in helped
    assert shown.splitlines()[1:3] == ["服务器\tx:1", "语言\tzh"]


def test_a_command_that_runs_a_service_also_runs_after_an_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPLINE_LANG", "en")  # --lang sets it

    status = main(["--lang", "en", "up", "--help"])

    assert status == 0
    assert "--models-dir" in capsys.readouterr().out


def test_the_language_may_stand_after_the_command_and_applies_to_its_help() -> None:
    command = [sys.executable, "-m", "stepline.terminal.main", "download", "--help", "--lang=zh"]

    helped = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "下载" in helped


@pytest.mark.parametrize("key", WORDS)
def test_both_languages_have_the_same_values(key: str) -> None:
    english, chinese = (
        {field for _, field, _, _ in string.Formatter().parse(text) if field} for text in WORDS[key]
    )

    assert english == chinese
