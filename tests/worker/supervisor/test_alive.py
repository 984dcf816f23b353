import os
from pathlib import Path

import pytest

from worker.supervisor import alive
from worker.supervisor.host.device_check import record_failed, record_passed
from worker.supervisor.host.identity import worker_home


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


def test_a_worker_is_unhealthy_from_a_failure_of_its_device_until_a_check_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEPLINE_WORK_DIR", str(tmp_path))
    home = worker_home(tmp_path, "a/worker")
    home.mkdir(parents=True)
    alive.touch(tmp_path, "a/worker")

    record_failed(home, "CUDA error: uncorrectable ECC error encountered")
    assert alive.main() == 1
    message = capsys.readouterr().err
    assert "a_worker" in message
    assert "uncorrectable ECC error" in message

    record_passed(home)
    assert alive.main() == 0


def test_a_failed_device_of_a_worker_that_was_removed_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPLINE_WORK_DIR", str(tmp_path))
    home = worker_home(tmp_path, "removed")
    home.mkdir(parents=True)
    record_failed(home, "it broke")
    alive.touch(tmp_path, "removed")
    for path in tmp_path.rglob("alive/*/removed"):
        os.utime(path, (1, 1))

    alive.touch(tmp_path, "present")

    assert alive.main() == 0
