"""The checkpoints that a run accepts, and the settings that it adopts from the attempt that wrote them."""

import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from contracts.failure import FailureReason
from contracts.record import LogRecord
from contracts.run.run_dir import Placed, RunDir, write_model
from tests.tiny_model import make_tiny_qwen2
from tests.worker.training.harness.run_directory import make_run_dir, records, run_here, summary_of
from tests.worker.training.resume.resuming import ROWS, StopAt, interrupted, resumed_from, spec_with
from worker.training.data.rendering.template import QWEN2_TEMPLATE
from worker.training.memory import plan
from worker.training.rundir.checkpoint import Checkpoints, find_newest, load


def test_a_checkpoint_of_another_run_is_rejected_with_the_differences(
    tiny_model: Path, tmp_path: Path
) -> None:
    first = interrupted(tmp_path / "first", tiny_model, 0.0)
    (tmp_path / "other").mkdir()
    changed = spec_with(0.0)
    changed["training"] |= {"max_steps": 30}
    other = make_run_dir(tmp_path / "other", tiny_model, ROWS, changed)
    other.resume.symlink_to(first.checkpoints)

    outcome = run_here(other)

    assert outcome.failure is not None
    assert outcome.failure.reason is FailureReason.SPEC_REFUSED
    assert outcome.failure.evidence == {"different": "training, total_steps"}


def test_a_run_does_not_resume_on_a_different_base(tiny_model: Path, tmp_path: Path) -> None:
    first = interrupted(tmp_path / "first", tiny_model, 0.0)
    like_it = make_tiny_qwen2(tmp_path / "like-it", seed=1)
    second = resumed_from(first, tmp_path / "second", like_it, 0.0)

    outcome = run_here(second)

    assert outcome.failure is not None
    assert outcome.failure.reason is FailureReason.SPEC_REFUSED
    assert outcome.failure.evidence == {"different": "base"}
    assert "different base model" in outcome.failure.detail


def test_a_run_with_a_template_that_writes_the_date_resumes_at_a_later_time(
    tiny_model: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    by_the_microsecond = "{{ strftime_now('%f') }}" + QWEN2_TEMPLATE
    (model / "chat_template.jinja").write_text(by_the_microsecond)
    attempts = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        attempts.append(make_run_dir(tmp_path / name, model, ROWS, spec_with(0.0)))
        write_model(attempts[-1].placed, Placed(submitted_at=datetime(2024, 7, 26, tzinfo=UTC)))
    first, second = attempts
    assert run_here(first, StopAt(first, 23)).status == "interrupted"
    second.resume.symlink_to(first.checkpoints)

    assert run_here(second).status == "succeeded"


def test_the_token_budget_and_thread_count_of_the_previous_attempt_are_adopted(
    tiny_model: Path, tmp_path: Path
) -> None:
    first = interrupted(tmp_path / "first", tiny_model, 0.0)
    second = resumed_from(first, tmp_path / "second", tiny_model, 0.0)
    second.spec.write_text(
        second.spec.read_text().replace('"token_budget":128', '"token_budget":64')
    )
    torch.set_num_threads(2)
    try:
        run_here(second)
        threads = torch.get_num_threads()
    finally:
        torch.set_num_threads(1)

    assert threads == 1
    assert summary_of(second).choices["token_budget"]["value"] == 128


@pytest.fixture(scope="module")
def checkpoint(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the newest checkpoint of a run that was interrupted."""
    place = tmp_path_factory.mktemp("interrupted") / "first"
    newest = find_newest(interrupted(place, tiny_model, 0.0, looks=15).checkpoints)
    assert newest is not None
    return newest


def resume_under(circumstances: dict[str, str | int], checkpoint: Path, run_dir: RunDir) -> str:
    """Resume with half the token budget from a checkpoint that records these circumstances, stop immediately and return the log."""
    snapshot = load(checkpoint)
    snapshot.state.circumstances.update(circumstances)
    Checkpoints(run_dir.resume, keep=1).save(snapshot)
    spec = run_dir.spec.read_text()
    run_dir.spec.write_text(spec.replace('"token_budget":128', '"token_budget":64'))
    assert run_here(run_dir, StopAt(run_dir, 2, "cancelled")).status == "cancelled"
    return "\n".join(r.message for r in records(run_dir) if isinstance(r, LogRecord))


@pytest.mark.parametrize(
    ("circumstance", "value"),
    [("processor", "another GPU"), ("device", "cuda"), ("device_memory_gib", 80)],
)
def test_the_token_budget_and_thread_count_of_another_device_are_not_adopted(
    checkpoint: Path, tiny_model: Path, tmp_path: Path, circumstance: str, value: str | int
) -> None:
    second = make_run_dir(tmp_path, tiny_model, ROWS, spec_with(0.0))

    message = resume_under({circumstance: value, "cpu_threads": 2}, checkpoint, second)

    assert torch.get_num_threads() == 1
    assert "64 tokens per micro-batch" in message
    assert "token_budget: 128 → 64" in message


def test_more_threads_than_this_host_has_processors_are_not_adopted(
    checkpoint: Path, tiny_model: Path, tmp_path: Path
) -> None:
    second = make_run_dir(tmp_path, tiny_model, ROWS, spec_with(0.0))

    message = resume_under({"cpu_threads": 4096}, checkpoint, second)

    assert torch.get_num_threads() == 1
    assert "128 tokens per micro-batch" in message
    assert "cpu_threads: 4096 → 1" in message


def test_a_resume_with_less_memory_than_before_uses_a_smaller_budget(
    checkpoint: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "_SMALL_MODEL", 0)
    monkeypatch.setattr(plan, "free_host_bytes", lambda: 4 * 2**20)
    second = make_run_dir(tmp_path, tiny_model, ROWS, spec_with(0.0) | {"engine": {}})
    second.resume.mkdir()
    Checkpoints(second.resume, keep=1).save(load(checkpoint))

    assert run_here(second, StopAt(second, 2, "cancelled")).status == "cancelled"

    message = "\n".join(r.message for r in records(second) if isinstance(r, LogRecord))
    found = re.search(r"token_budget: 128 → (\d+)", message)
    assert found, message
    assert int(found[1]) < 128


@pytest.mark.parametrize("planned", [True, False])
def test_a_resume_keeps_recomputing_activations_unless_its_own_plan_finds_it_unnecessary(
    checkpoint: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    planned: bool,
) -> None:
    if planned:  # with enough memory
        monkeypatch.setattr(plan, "_SMALL_MODEL", 0)
    second = make_run_dir(tmp_path, tiny_model, ROWS, spec_with(0.0))
    snapshot = load(checkpoint)
    state = snapshot.state.model_copy(update={"activation_checkpointing": True})
    second.resume.mkdir()
    Checkpoints(second.resume, keep=1).save(replace(snapshot, state=state))

    assert run_here(second, StopAt(second, 7, "paused")).status == "paused"

    saved = find_newest(second.checkpoints)
    assert saved is not None
    assert load(saved).state.activation_checkpointing is not planned
    assert load(saved).state.token_budget == 128
