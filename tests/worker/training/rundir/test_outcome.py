"""outcome.json on a full disk."""

import errno
from pathlib import Path
from typing import Any

import pytest

from contracts.attempt import Outcome
from contracts.run.run_dir import RunDir, write_model
from worker.training.rundir import outcome as written


def test_partially_written_files_are_deleted_to_make_room_for_the_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = RunDir(tmp_path)
    file = tmp_path / "summary.json.tmp"
    file.write_bytes(b"half a summary")
    directory = run_dir.checkpoints / "step-00000002.tmp"
    directory.mkdir(parents=True)
    (directory / "tensors.safetensors").write_bytes(b"half a checkpoint")

    def write(path: Path, model: Any) -> None:
        if file.exists() or directory.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        write_model(path, model)

    monkeypatch.setattr(written, "write_model", write)
    written.write_outcome(run_dir, Outcome(status="succeeded", step=4))

    assert Outcome.model_validate_json(run_dir.outcome.read_bytes()).step == 4
