"""Programs that run with `python -m` and are configured by environment variables only."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAIN = 'if __name__ == "__main__":\n'


@pytest.mark.parametrize(
    ("argument", "status", "printed"),
    [
        ("--help", 0, "Upgrades the database to the newest schema."),
        ("--dry-run", 2, "unrecognized arguments: --dry-run"),
        ("other.db", 2, "unrecognized arguments: other.db"),
    ],
)
def test_a_program_given_an_argument_prints_help_or_an_error_and_does_nothing(
    argument: str, status: int, printed: str, tmp_path: Path
) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "app.migrate", argument],
        cwd=tmp_path,
        env={name: os.environ[name] for name in os.environ if not name.startswith("STEPLINE_")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert result.returncode == status
    assert printed in result.stdout + result.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_program_reads_its_arguments() -> None:
    paths = [
        path for part in ("app", "worker", "cli") for path in sorted((ROOT / part).rglob("*.py"))
    ]
    programs = {path: text for path in paths if MAIN in (text := path.read_text())}

    assert len(programs) > 15
    assert [
        str(path.relative_to(ROOT))
        for path, text in programs.items()
        if not any(way in text for way in ("sys.argv", "take_no_arguments(", "ArgumentParser("))
    ] == []
