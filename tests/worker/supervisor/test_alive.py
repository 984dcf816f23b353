import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worker.supervisor.device_states import record_failed, record_passed
from worker.supervisor import alive
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


def test_a_worker_is_unhealthy_after_its_device_fails_until_a_check_passes(
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


def test_the_failed_device_of_a_removed_worker_does_not_count(
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


def test_a_parent_process_that_waits_for_a_card_is_healthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPLINE_WORK_DIR", str(tmp_path))

    alive.touch_parent(tmp_path, [])

    assert alive.main() == 0


def test_each_worker_of_a_parent_process_must_be_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEPLINE_WORK_DIR", str(tmp_path))
    alive.touch_parent(tmp_path, ["GPU-1", "GPU-2"])
    alive.touch(tmp_path, "GPU-1")
    assert alive.main() == 1
    assert "no heartbeat from worker GPU-2" in capsys.readouterr().err

    alive.touch(tmp_path, "GPU-2")
    assert alive.main() == 0

    os.utime(next(tmp_path.rglob("alive/*/GPU-1")), (1, 1))
    assert alive.main() == 1
    assert "no heartbeat from worker GPU-1" in capsys.readouterr().err


def test_a_failed_gpu_is_named_even_if_the_other_workers_are_healthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEPLINE_WORK_DIR", str(tmp_path))
    alive.touch_parent(tmp_path, ["GPU-1", "GPU-2"])
    for worker in ("GPU-1", "GPU-2"):
        alive.touch(tmp_path, worker)
        worker_home(tmp_path, worker).mkdir(parents=True)
    record_passed(worker_home(tmp_path, "GPU-1"))
    record_failed(worker_home(tmp_path, "GPU-2"), "it broke")

    assert alive.main() == 1
    assert "the device of worker GPU-2 has failed: it broke" in capsys.readouterr().err


def test_a_parent_process_that_hangs_is_not_alive_although_its_workers_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEPLINE_WORK_DIR", str(tmp_path))
    alive.touch_parent(tmp_path, ["GPU-1"])
    alive.touch(tmp_path, "GPU-1")
    for path in tmp_path.rglob("*.json"):
        os.utime(path, (1, 1))

    assert alive.main() == 1
    assert f"process {os.getpid()}, the parent" in capsys.readouterr().err


def test_a_parent_process_that_was_killed_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPLINE_WORK_DIR", str(tmp_path))
    code = f"from worker.supervisor import alive; alive.touch_parent(alive.Path({str(tmp_path)!r}), ['w'])"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert alive.main() == 1

    alive.touch(tmp_path, "another")
    assert alive.main() == 0

    alive.forget_parents(tmp_path)
    assert list(tmp_path.rglob("*.json")) == []
