"""Runs `stepline` as a user does."""

import subprocess
import sys


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
