import os
from pathlib import Path

import pytest

from worker.supervisor import alive


def test_a_worker_that_has_just_reported_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPLINE_WORK_DIR", str(tmp_path))

    alive.touch(tmp_path, "a/worker")

    assert alive.main() == 0


def test_a_worker_that_has_not_reported_recently_is_not_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEPLINE_WORK_DIR", str(tmp_path))
    assert alive.main() == 1
    alive.touch(tmp_path, "w")
    for path in tmp_path.rglob("w"):
        os.utime(path, (1, 1))

    assert alive.main() == 1
    assert "no heartbeat" in capsys.readouterr().err
