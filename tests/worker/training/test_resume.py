"""A run that is killed at any moment and resumed gives the same results as an uninterrupted run, bit for bit."""

import random
import re
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from contracts.attempt import Wanted
from contracts.failure import FailureReason
from contracts.job import Phase
from contracts.record import CheckpointRecord, EvalRecord, LogRecord, MetricRecord, PhaseRecord
from contracts.run_dir import Control, Placed, RunDir, write_model
from tests.tiny_model import make_rows, make_tiny_qwen2
from tests.worker.training.forked import fork
from tests.worker.training.run_directory import (
    DEADLINE_SECONDS,
    losses,
    make_run_dir,
    outcome_of,
    records,
    run_here,
    summary_of,
    wait_for,
)
from worker.training.data.template import QWEN2_TEMPLATE
from worker.training.errors import StopRequested
from worker.training.memory import plan
from worker.training.rundir.checkpoint import Checkpoints, find_newest, load
from worker.training.rundir.stop import Stop
from worker.training.state import Run

STEPS_PER_EPOCH = 4
TOTAL = 12
ROWS = make_rows(17)


def spec_with(dropout: float, every_steps: int = 2) -> dict[str, Any]:
    return {
        "dataset": {"train": "ds_00000000", "eval_size": 3},
        "training": {"per_device_batch_size": 2, "gradient_accumulation_steps": 2, "epochs": 3},
        "lora": {"rank": 8, "alpha": 16, "dropout": dropout},
        "evaluation": {"every_steps": 3},
        "checkpoint": {"every_steps": every_steps},
        "engine": {"token_budget": 128},
    }


Straight = Callable[[float], RunDir]


@pytest.fixture(scope="module")
def straight(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Straight:
    """Return a function that returns the uninterrupted run with the given dropout."""
    done: dict[float, RunDir] = {}

    def run_straight(dropout: float) -> RunDir:
        if dropout not in done:
            done[dropout] = make_run_dir(
                tmp_path_factory.mktemp("straight"), tiny_model, ROWS, spec_with(dropout)
            )
            assert run_here(done[dropout]).status == "succeeded"
        return done[dropout]

    return run_straight


def resumed_from(
    killed: RunDir, path: Path, model: Path, dropout: float, every_steps: int = 2
) -> RunDir:
    """Create the next attempt, with the checkpoints of the previous one."""
    path.mkdir()
    run_dir = make_run_dir(path, model, ROWS, spec_with(dropout, every_steps))
    run_dir.resume.symlink_to(killed.checkpoints)
    return run_dir


def metrics(run_dir: RunDir) -> dict[int, dict[str, float]]:
    """Return each step's record without its duration."""
    found = [r for r in records(run_dir) if isinstance(r, MetricRecord) and "loss" in r.values]
    return {r.step: {k: v for k, v in r.values.items() if k != "seconds"} for r in found}


def assert_same_run(attempts: list[RunDir], expected: RunDir) -> None:
    merged: dict[int, dict[str, float]] = {}
    evaluations: dict[int, float] = {}
    for attempt in attempts:
        merged |= metrics(attempt)
        evaluations |= {r.step: r.loss for r in records(attempt) if isinstance(r, EvalRecord)}
    assert merged == metrics(expected)
    assert list(merged) == sorted(merged) == list(range(1, TOTAL + 1))
    assert evaluations == {r.step: r.loss for r in records(expected) if isinstance(r, EvalRecord)}
    name = "adapter_model.safetensors"
    assert (attempts[-1].adapter / name).read_bytes() == (expected.adapter / name).read_bytes()
    found, straight = summary_of(attempts[-1]), summary_of(expected)
    for field in (
        "train_loss",
        "eval_loss",
        "base_eval_loss",
        "windows",
        "evaluations",
        "improvement_interval",
        "supervised_tokens",
        "steps",
    ):
        assert getattr(found, field) == getattr(straight, field), field


class Moment(NamedTuple):
    """The step at which a run is killed, and how often it saves checkpoints."""

    kill_at: int
    every_steps: int = 2


@pytest.mark.parametrize(
    ("dropout", "moment"),
    [
        (0.0, Moment(kill_at=3)),  # in the first epoch
        (0.05, Moment(kill_at=6)),  # in the second epoch
        (
            0.0,
            Moment(kill_at=9, every_steps=4),
        ),  # in the third epoch, after a checkpoint at its start
        (0.05, Moment(kill_at=random.randrange(3, 11))),  # noqa: S311 - any step will do
    ],
    ids=["first epoch", "second epoch", "start of the third epoch", "any step"],
)
def test_a_killed_run_resumes_bit_exactly(
    straight: Straight,
    tiny_model: Path,
    tmp_path: Path,
    dropout: float,
    moment: Moment,
) -> None:
    (tmp_path / "killed").mkdir()
    killed = make_run_dir(
        tmp_path / "killed", tiny_model, ROWS, spec_with(dropout, moment.every_steps)
    )
    process = fork(killed)
    wait_for(lambda: max(losses(killed), default=0) >= moment.kill_at, process)
    process.send_signal(signal.SIGKILL)
    assert process.wait(DEADLINE_SECONDS) == -signal.SIGKILL
    assert not killed.outcome.exists()

    resumed = resumed_from(killed, tmp_path / "resumed", tiny_model, dropout, moment.every_steps)
    assert run_here(resumed).status == "succeeded"

    assert 1 < min(losses(resumed)) <= max(losses(killed)) + 1
    assert_same_run([killed, resumed], straight(dropout))


class StopAt(Stop):
    """Requests a stop in the middle of a step, at the check with this number."""

    def __init__(self, looks: int, status: Any = "interrupted") -> None:
        super().__init__(Path("/nonexistent"))
        self._looks = looks
        self._status = status

    def check(self) -> None:
        self._looks -= 1
        if self._looks == 0:
            raise StopRequested(self._status)


def interrupted(path: Path, model: Path, dropout: float, looks: int = 24) -> RunDir:
    path.mkdir()
    run_dir = make_run_dir(path, model, ROWS, spec_with(dropout))
    assert run_here(run_dir, StopAt(looks)).status == "interrupted"
    return run_dir


def test_a_stop_during_an_update_saves_the_last_complete_step(
    straight: Straight, tiny_model: Path, tmp_path: Path
) -> None:
    first = interrupted(tmp_path / "first", tiny_model, 0.05)
    step = outcome_of(first).step
    saved = [r for r in records(first) if isinstance(r, CheckpointRecord)]
    assert saved[-1].step == step == max(losses(first))
    assert saved[-1].name == f"step-{step:08d}"

    second = resumed_from(first, tmp_path / "second", tiny_model, 0.05)
    run_here(second)

    assert min(losses(second)) == step + 1
    assert_same_run([first, second], straight(0.05))


def test_a_run_with_the_fused_lora_function_resumes_bit_exactly(
    tiny_model: Path, tmp_path: Path
) -> None:
    spec = spec_with(0.05)
    spec["training"] |= {"epochs": 1}
    # In bfloat16, the function uses copies of the weights, which a resume has to renew.
    spec |= {"engine": {"fused_lora": True}, "quantization": {"compute_dtype": "bfloat16"}}
    for name in ("straight", "first", "second"):
        (tmp_path / name).mkdir()
    straight, first, second = (
        make_run_dir(tmp_path / name, tiny_model, ROWS, spec)
        for name in ("straight", "first", "second")
    )
    second.resume.symlink_to(first.checkpoints)
    assert run_here(straight).status == "succeeded"
    assert summary_of(straight).choices["fused_lora"]["value"] is True
    assert run_here(first, StopAfter(first, 2)).status == "interrupted"

    assert run_here(second).status == "succeeded"

    assert list(losses(second)) == [3, 4]
    assert metrics(first) | metrics(second) == metrics(straight)
    name = "adapter_model.safetensors"
    assert (second.adapter / name).read_bytes() == (straight.adapter / name).read_bytes()


class StopAfter(Stop):
    """Requests a stop as soon as the given step is done."""

    def __init__(self, run_dir: RunDir, step: int) -> None:
        super().__init__(run_dir.control)
        self._run_dir, self._step = run_dir, step

    def check(self) -> None:
        if max(losses(self._run_dir), default=0) == self._step:
            raise StopRequested("interrupted")


@pytest.mark.parametrize("boundary", [STEPS_PER_EPOCH, 2 * STEPS_PER_EPOCH])
def test_a_run_stopped_between_two_epochs_resumes_with_the_next_epoch(
    straight: Straight, tiny_model: Path, tmp_path: Path, boundary: int
) -> None:
    (tmp_path / "first").mkdir()
    first = make_run_dir(tmp_path / "first", tiny_model, ROWS, spec_with(0.05))
    assert run_here(first, StopAfter(first, boundary)).step == boundary

    second = resumed_from(first, tmp_path / "second", tiny_model, 0.05)
    run_here(second)

    assert min(losses(second)) == boundary + 1
    assert_same_run([first, second], straight(0.05))


class StopInEvaluation(Stop):
    """Requests a stop while the run evaluates between two steps."""

    def __init__(self, run_dir: RunDir) -> None:
        super().__init__(run_dir.control)
        self._run_dir = run_dir

    def check(self) -> None:
        last = records(self._run_dir)[-1]
        if isinstance(last, PhaseRecord) and last.phase is Phase.EVALUATING and last.step > 0:
            raise StopRequested("interrupted")


def test_an_evaluation_interrupted_by_a_stop_runs_after_the_resume(
    straight: Straight, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "first").mkdir()
    first = make_run_dir(tmp_path / "first", tiny_model, ROWS, spec_with(0.0))
    assert run_here(first, StopInEvaluation(first)).step == 3
    assert [r.step for r in records(first) if isinstance(r, EvalRecord)] == [0]

    second = resumed_from(first, tmp_path / "second", tiny_model, 0.0)
    run_here(second)

    assert_same_run([first, second], straight(0.0))


def test_dropout_differs_if_the_generator_states_are_not_restored(
    straight: Straight, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = interrupted(tmp_path / "first", tiny_model, 0.05)
    second = resumed_from(first, tmp_path / "second", tiny_model, 0.05)
    monkeypatch.setattr(Run, "rewind_generators", lambda _: torch.manual_seed(0))

    run_here(second)

    assert {**losses(first), **losses(second)} != losses(straight(0.05))


def test_a_run_falls_back_to_the_previous_checkpoint_if_the_newest_is_truncated(
    straight: Straight, tiny_model: Path, tmp_path: Path
) -> None:
    first = interrupted(tmp_path / "first", tiny_model, 0.0)
    newest = find_newest(first.checkpoints)
    assert newest is not None
    tensors = newest / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-100])
    before = find_newest(first.checkpoints)
    assert before is not None
    assert before != newest

    second = resumed_from(first, tmp_path / "second", tiny_model, 0.0)
    run_here(second)

    assert min(losses(second)) == int(before.name.removeprefix("step-")) + 1
    assert_same_run([first, second], straight(0.0))


def test_a_run_without_a_complete_checkpoint_starts_over_with_a_warning(
    straight: Straight, tiny_model: Path, tmp_path: Path
) -> None:
    run_dir = make_run_dir(tmp_path, tiny_model, ROWS, spec_with(0.0))
    run_dir.resume.mkdir()

    run_here(run_dir)

    assert_same_run([run_dir], straight(0.0))
    logs = [r for r in records(run_dir) if isinstance(r, LogRecord)]
    assert any("no intact checkpoint" in log.message and log.level == "warning" for log in logs)


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


def test_a_run_resumes_from_a_checkpoint_that_does_not_name_its_base(
    straight: Straight, tiny_model: Path, tmp_path: Path
) -> None:
    first = interrupted(tmp_path / "first", tiny_model, 0.0)
    newest = find_newest(first.checkpoints)
    assert newest is not None
    snapshot = load(newest)
    del snapshot.state.identity["base"]
    second = resumed_from(first, tmp_path / "second", tiny_model, 0.0)
    second.resume.unlink()
    Checkpoints(second.resume, keep=1).save(snapshot)

    run_here(second)

    assert_same_run([first, second], straight(0.0))


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
    assert run_here(first, StopAt(24)).status == "interrupted"
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
    newest = find_newest(interrupted(place, tiny_model, 0.0, looks=16).checkpoints)
    assert newest is not None
    return newest


def resume_under(circumstances: dict[str, str | int], checkpoint: Path, run_dir: RunDir) -> str:
    """Resume with half the token budget from a checkpoint that records these circumstances, stop at once and return the log."""
    snapshot = load(checkpoint)
    snapshot.state.circumstances.update(circumstances)
    Checkpoints(run_dir.resume, keep=1).save(snapshot)
    spec = run_dir.spec.read_text()
    run_dir.spec.write_text(spec.replace('"token_budget":128', '"token_budget":64'))
    assert run_here(run_dir, StopAt(3, "cancelled")).status == "cancelled"
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


def test_a_pause_saves_a_checkpoint_and_a_cancel_does_not(tiny_model: Path, tmp_path: Path) -> None:
    for status in ("paused", "cancelled"):
        (tmp_path / status).mkdir()
        spec = spec_with(0.0) | {"checkpoint": {"every_steps": 1000}}
        run_dir = make_run_dir(tmp_path / status, tiny_model, ROWS, spec)

        assert run_here(run_dir, StopAt(24, status)).status == status

        assert run_dir.checkpoints.exists() == (status == "paused")


def test_a_pause_before_the_first_step_needs_no_checkpoint(
    tiny_model: Path, tmp_path: Path
) -> None:
    run_dir = make_run_dir(tmp_path, tiny_model, ROWS, spec_with(0.0))
    write_model(run_dir.control, Control(wanted=Wanted.PAUSE))

    outcome = run_here(run_dir)

    assert (outcome.status, outcome.step) == ("paused", 0)
    assert not run_dir.checkpoints.exists()


def test_a_resume_with_less_memory_than_before_uses_a_smaller_budget(
    checkpoint: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "_SMALL_MODEL", 0)
    monkeypatch.setattr(plan, "free_host_bytes", lambda: 4 * 2**20)
    second = make_run_dir(tmp_path, tiny_model, ROWS, spec_with(0.0) | {"engine": {}})
    second.resume.mkdir()
    Checkpoints(second.resume, keep=1).save(load(checkpoint))

    assert run_here(second, StopAt(3, "cancelled")).status == "cancelled"

    message = "\n".join(r.message for r in records(second) if isinstance(r, LogRecord))
    found = re.search(r"token_budget: 128 → (\d+)", message)
    assert found, message
    assert int(found[1]) < 128


@pytest.mark.parametrize("planned", [True, False])
def test_a_resume_recomputes_activations_only_if_its_own_plan_does_not_deny_it(
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

    assert run_here(second, StopAt(8, "paused")).status == "paused"

    saved = find_newest(second.checkpoints)
    assert saved is not None
    assert load(saved).state.activation_checkpointing is not planned
    assert load(saved).state.token_budget == 128
