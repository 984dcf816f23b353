"""A run that is killed at any moment and resumed produces the same results as an uninterrupted run, bit for bit."""

import json
import random
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import safetensors.torch
import torch
from safetensors.torch import load_file

from app.checkpoints.adapters import StoredAdapter, build_archive
from app.storage.data_dir import Storage
from contracts.checkpoint import STATE_FILE, TENSORS_FILE
from contracts.job import Phase
from contracts.record import CheckpointRecord, EvalRecord, LogRecord, MetricRecord, PhaseRecord
from contracts.run.run_dir import RunDir
from tests.worker.training.harness.forked import fork
from tests.worker.training.harness.run_directory import (
    DEADLINE_SECONDS,
    losses,
    make_run_dir,
    outcome_of,
    records,
    run_here,
    summary_of,
    wait_for,
)
from tests.worker.training.resume.resuming import (
    ROWS,
    interrupted,
    resumed_from,
    share_tokens,
    spec_with,
)
from worker.training.errors import StopRequested
from worker.training.rundir.checkpoint import Checkpoints, find_newest, load
from worker.training.rundir.stop import Stop
from worker.training.state import Run

STEPS_PER_EPOCH = 4
TOTAL = 12
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


def test_the_server_builds_the_adapter_of_a_checkpoint_as_peft_saves_it(
    straight: Straight, tmp_path: Path
) -> None:
    run_dir, storage = straight(0.0), Storage(tmp_path)
    storage.prepare()
    newest = find_newest(run_dir.checkpoints)
    assert newest is not None
    for name in (TENSORS_FILE, STATE_FILE):
        (tmp_path / name).symlink_to(newest / name)

    path = build_archive(storage, StoredAdapter("ckpt_1", "job_1", TENSORS_FILE, STATE_FILE, ""))

    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    config = (run_dir.adapter / "adapter_config.json").read_bytes()
    assert json.loads(files.pop("adapter_config.json")) == json.loads(config)
    built = safetensors.torch.load(files.pop("adapter_model.safetensors"))
    saved = load_file(run_dir.adapter / "adapter_model.safetensors")
    assert files == {}
    assert {n: t.shape for n, t in built.items()} == {n: t.shape for n, t in saved.items()}
    prefixes = {f"adapter.{name}": tensor for name, tensor in built.items()}
    checkpoint = {n.replace(".default", ""): t for n, t in load(newest).tensors.items()}
    assert all(torch.equal(checkpoint[name], tensor) for name, tensor in prefixes.items())


def metrics(run_dir: RunDir) -> dict[int, dict[str, float]]:
    """Return each step's record without its duration."""
    found = [r for r in records(run_dir) if isinstance(r, MetricRecord) and "loss" in r.values]
    return {r.step: {k: v for k, v in r.values.items() if k != "seconds"} for r in found}


def evaluations(run_dir: RunDir) -> dict[int, tuple[float, float | None]]:
    """Return the loss and the token accuracy of each evaluation by step."""
    found = [r for r in records(run_dir) if isinstance(r, EvalRecord)]
    return {r.step: (r.loss, r.token_accuracy) for r in found}


def assert_same_run(attempts: list[RunDir], expected: RunDir) -> None:
    merged: dict[int, dict[str, float]] = {}
    evaluated: dict[int, tuple[float, float | None]] = {}
    for attempt in attempts:
        merged |= metrics(attempt)
        evaluated |= evaluations(attempt)
    assert merged == metrics(expected)
    assert list(merged) == sorted(merged) == list(range(1, TOTAL + 1))
    assert evaluated == evaluations(expected)
    name = "adapter_model.safetensors"
    assert (attempts[-1].adapter / name).read_bytes() == (expected.adapter / name).read_bytes()
    found, straight = summary_of(attempts[-1]), summary_of(expected)
    for field in (
        "train_loss",
        "eval_loss",
        "base_eval_loss",
        "windows",
        "evaluations",
        "eval_token_accuracy",
        "base_eval_token_accuracy",
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
    share_tokens(killed)
    process = fork(killed)
    wait_for(lambda: max(losses(killed), default=0) >= moment.kill_at, process)
    process.send_signal(signal.SIGKILL)
    assert process.wait(DEADLINE_SECONDS) == -signal.SIGKILL
    assert not killed.outcome.exists()

    resumed = resumed_from(killed, tmp_path / "resumed", tiny_model, dropout, moment.every_steps)
    assert run_here(resumed).status == "succeeded"

    assert 1 < min(losses(resumed)) <= max(losses(killed)) + 1
    messages = [r.message for r in records(resumed) if isinstance(r, LogRecord)]
    assert any("read from the cache" in message for message in messages)
    assert_same_run([killed, resumed], straight(dropout))


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
