import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from contracts.attempt import Claim
from contracts.base import utc_now
from contracts.failure import FailureReason
from contracts.job import JobSpec
from contracts.run.run_dir import Placed, RunDir
from tests.factories import make_spec
from tests.worker.supervisor.builders import make_claim
from tests.worker.supervisor.scripted_server import Answer, ScriptedServer, error_answer
from worker.settings import Settings
from worker.supervisor.child.stopping import Stopped
from worker.supervisor.placing.models import PlacingFailed
from worker.supervisor.placing.place import Placer, tidy
from worker.supervisor.reporting.notes import Notes
from worker.supervisor.server.client import Server

ROWS = b'{"prompt": "a", "completion": "b"}\n'


def _claim(**changes: Any) -> Claim:
    file = {"dataset_id": "ds_1", "sha256": hashlib.sha256(ROWS).hexdigest(), "bytes": 1, "rows": 1}
    return make_claim(**{"train": file} | changes)


def _place(
    tmp_path: Path, claim: Claim, answer: Answer, pulse: Any = None, hub: bool = False
) -> RunDir:
    run_dir = RunDir(tmp_path / "runs" / claim.attempt_id)
    settings = Settings(work_dir=tmp_path, models_dir=tmp_path / "models", hub=hub)
    environ = dict(os.environ) | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    with ScriptedServer(answer) as peer, Server(peer.url, "t", 5, 5) as server:
        Placer(
            claim, server, settings, environ, pulse=pulse or (lambda: None), notes=Notes()
        ).place(run_dir)
    return run_dir


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "tiny-qwen2"
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    return path


def test_a_run_directory_contains_everything_that_training_needs(
    tmp_path: Path, model: Path
) -> None:
    submitted_at = utc_now()
    claim = _claim(eval=_claim().train, submitted_at=submitted_at)
    run_dir = _place(tmp_path, claim, Answer(body=ROWS))

    assert JobSpec.model_validate_json(run_dir.spec.read_text()) == claim.spec
    assert run_dir.model.resolve() == model
    assert run_dir.train_data.read_bytes() == ROWS
    assert run_dir.eval_data.read_bytes() == ROWS
    placed = Placed.model_validate_json(run_dir.placed.read_text())
    assert (placed.attempt_id, placed.job_id, placed.model_revision) == ("att_1", "job_1", None)
    assert placed.submitted_at == submitted_at
    assert run_dir.path.stat().st_mode & 0o777 == 0o700
    everything = "".join(p.read_text() for p in run_dir.path.rglob("*") if p.is_file())
    assert claim.token not in everything


def test_a_run_directory_contains_every_dataset_of_a_mixture(tmp_path: Path, model: Path) -> None:
    train = [{"dataset": "ds_00000001", "weight": 2}, {"dataset": "ds_00000002"}]
    claim = _claim(train=None, mixed=[_claim().train] * 2, spec=make_spec(dataset={"train": train}))
    run_dir = _place(tmp_path, claim, Answer(body=ROWS))

    assert run_dir.mixed_data(0).read_bytes() == run_dir.mixed_data(1).read_bytes() == ROWS
    assert not run_dir.train_data.exists()
    placed = Placed.model_validate_json(run_dir.placed.read_text())
    assert placed.origin.mixed_revisions == [None, None]


def test_a_missing_model_fails_with_model_not_found(tmp_path: Path) -> None:
    with pytest.raises(PlacingFailed) as caught:
        _place(tmp_path, _claim(), Answer(body=ROWS))

    assert caught.value.failure.reason is FailureReason.MODEL_NOT_FOUND
    assert "does not download models from the hub" in caught.value.failure.detail


def test_the_error_for_a_missing_model_mentions_an_unreachable_hub(tmp_path: Path) -> None:
    with pytest.raises(PlacingFailed) as caught:
        _place(tmp_path, _claim(spec=make_spec(model="a/b")), Answer(body=ROWS), hub=True)

    assert caught.value.failure.reason is FailureReason.MODEL_NOT_FOUND
    assert "no directory 'a/b'" in caught.value.failure.detail
    assert "the download from the hub failed" in caught.value.failure.detail


def test_a_dataset_missing_from_the_server_fails_with_dataset_not_found(
    tmp_path: Path, model: Path
) -> None:
    with pytest.raises(PlacingFailed) as caught:
        _place(tmp_path, _claim(), error_answer(404, "dataset_not_found"))

    assert caught.value.failure.reason is FailureReason.DATASET_NOT_FOUND


@pytest.mark.parametrize("hub", [True, False])
def test_an_unavailable_hub_dataset_fails_with_dataset_not_found(
    tmp_path: Path, model: Path, hub: bool
) -> None:
    with pytest.raises(PlacingFailed) as caught:
        _place(tmp_path, _claim(train={"hub": "a/b"}), Answer(body=ROWS), hub=hub)

    assert caught.value.failure.reason is FailureReason.DATASET_NOT_FOUND


def test_a_cancel_ends_a_download_from_the_hub(tmp_path: Path) -> None:
    def cancel() -> None:
        raise Stopped("cancelled")

    with pytest.raises(Stopped):
        _place(tmp_path, _claim(spec=make_spec(model="a/b")), Answer(), pulse=cancel, hub=True)


def test_only_the_newest_failed_runs_are_kept(tmp_path: Path) -> None:
    for number in range(4):
        path = tmp_path / f"att_{number}"
        path.mkdir()
        (path / "spec.json").write_text(json.dumps(number))
        os.utime(path, (number, number))

    tidy(RunDir(tmp_path / "att_3"), keep_run=True, kept_runs=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["att_2", "att_3"]

    tidy(RunDir(tmp_path / "att_3"), keep_run=False, kept_runs=2)
    assert [path.name for path in tmp_path.iterdir()] == ["att_2"]
