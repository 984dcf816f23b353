from pathlib import Path

import pytest
import torch

from contracts.checkpoint import is_whole
from contracts.failure import FailureReason
from contracts.summary import EvalPoint
from worker.training.errors import TrainingError
from worker.training.rundir.checkpoint import (
    Checkpoints,
    CheckpointState,
    Snapshot,
    find_newest,
    load,
)


def snapshot(step: int, eval_loss: float | None = None) -> Snapshot:
    evaluations = [] if eval_loss is None else [EvalPoint(step=step, loss=eval_loss)]
    state = CheckpointState(
        step=step,
        identity={"model": "tiny"},
        circumstances={"cpu_threads": 1},
        token_budget=384,
        tokens=10,
        training_seconds=1 / 3,
        phase_seconds={},
        evaluations=evaluations,
    )
    return Snapshot(state, {"adapter.a": torch.full((100,), float(step))})


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_loaded_checkpoint_equals_the_saved_one_bit_for_bit(tmp_path: Path) -> None:
    saved = Checkpoints(tmp_path, keep=2).save(snapshot(3, 1 / 7))

    loaded = load(saved.path)

    assert loaded.state == snapshot(3, 1 / 7).state
    assert torch.equal(loaded.tensors["adapter.a"], torch.full((100,), 3.0))
    assert saved.bytes == sum(path.stat().st_size for path in saved.path.iterdir())
    assert names(tmp_path) == ["step-00000003"]


def test_the_newest_and_the_best_checkpoints_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)

    for step, loss in ((1, 2.0), (2, 1.5), (3, None), (4, 1.8), (5, 1.7), (6, None)):
        checkpoints.save(snapshot(step, loss))

    assert names(tmp_path) == ["step-00000002", "step-00000005", "step-00000006"]


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "manifest.json"])
def test_checkpoints_with_a_truncated_or_missing_file_are_skipped(
    tmp_path: Path, name: str
) -> None:
    checkpoints = Checkpoints(tmp_path, keep=3)
    checkpoints.save(snapshot(1))
    for step, damage in ((2, lambda p: p.write_bytes(p.read_bytes()[:-1])), (3, Path.unlink)):
        damage(checkpoints.save(snapshot(step)).path / name)

    newest = find_newest(tmp_path)

    assert newest is not None
    assert newest.name == "step-00000001"


def test_a_changed_byte_is_detected(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path, keep=1).save(snapshot(1)).path
    tensors = path / "tensors.safetensors"
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(content)

    assert not is_whole(path)


def test_a_partially_written_checkpoint_is_never_used(tmp_path: Path) -> None:
    whole = Checkpoints(tmp_path, keep=1).save(snapshot(1)).path
    whole.rename(tmp_path / "step-00000001.tmp")

    assert find_newest(tmp_path) is None


def test_a_checkpoint_is_found_by_its_own_path_or_by_its_parent_directory(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path, keep=1).save(snapshot(4)).path

    assert find_newest(path) == path
    assert find_newest(tmp_path) == path
    assert find_newest(tmp_path / "nowhere") is None


def test_a_full_disk_is_reported_before_anything_is_written_or_deleted(tmp_path: Path) -> None:
    Checkpoints(tmp_path, keep=1).save(snapshot(1))

    with pytest.raises(TrainingError) as caught:
        Checkpoints(tmp_path, keep=1, free_bytes=lambda _: 100).save(snapshot(2))

    assert caught.value.failure.reason is FailureReason.DISK_FULL
    assert caught.value.failure.evidence == {"needed_bytes": 480, "free_bytes": 100}
    assert names(tmp_path) == ["step-00000001"]


def test_saving_the_same_step_again_replaces_its_checkpoint(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(snapshot(1))

    checkpoints.save(snapshot(1, 2.5))

    newest = find_newest(tmp_path)
    assert newest is not None
    assert load(newest).state.evaluations == [EvalPoint(step=1, loss=2.5)]
