"""Several ranks train one job: the losses equal those of one rank, and every rank's end has a reason."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

from contracts.attempt import Wanted
from contracts.failure import Failure, FailureReason
from contracts.record import CheckpointRecord, EvalRecord, LogRecord
from contracts.run.run_dir import Control, Placed, RunDir, write_model
from tests.programs import waiting
from tests.programs.processes import children_of
from tests.tiny_model import make_rows
from tests.worker.training.harness.forked import Forked, fork
from tests.worker.training.harness.run_directory import (
    DEADLINE_SECONDS,
    losses,
    make_run_dir,
    outcome_of,
    records,
    run_here,
    start,
    summary_of,
    wait_for,
)

ROWS = make_rows(21)
STEPS = 10
ENDLESS = {"training": {"epochs": 10_000}}
TOLERANCE = 1e-5


def spec_with(dropout: float = 0.0) -> dict[str, Any]:
    """Return a spec of 10 steps; the last window of each epoch has fewer samples than there are ranks in some tests."""
    return {
        "dataset": {"train": "ds_00000000", "eval_size": 4},
        "training": {"per_device_batch_size": 2, "gradient_accumulation_steps": 2, "epochs": 2},
        "lora": {"rank": 8, "alpha": 16, "dropout": dropout},
        "evaluation": {"every_steps": 3},
        "checkpoint": {"every_steps": 2},
        "engine": {"token_budget": 64},
    }


def prepare(
    path: Path,
    model: Path,
    ranks: int,
    spec: dict[str, Any],
    *,
    resume: RunDir | None = None,
    hang_seconds: float = 60.0,
) -> RunDir:
    path.mkdir()
    run_dir = make_run_dir(path, model, ROWS, spec)
    write_model(run_dir.placed, Placed(ranks=ranks, hang_seconds=hang_seconds))
    if resume is not None:
        run_dir.resume.symlink_to(resume.checkpoints)
    return run_dir


def finish(run_dir: RunDir) -> RunDir:
    """Run the program until it exits; it must succeed."""
    assert fork(run_dir).wait(DEADLINE_SECONDS) == 0
    assert outcome_of(run_dir).status == "succeeded", run_dir.output.read_text()
    return run_dir


def evaluations(run_dir: RunDir) -> dict[int, float]:
    return {r.step: r.loss for r in records(run_dir) if isinstance(r, EvalRecord)}


def run_until(run_dir: RunDir, step: int) -> Forked:
    process = fork(run_dir)
    wait_for(lambda: max(losses(run_dir), default=0) >= step, process)
    return process


def rank_1_of(process: Forked | subprocess.Popen[bytes]) -> int:
    (found,) = [pid for pid in children_of(process.pid) if _is_rank(pid)]
    return found


def _is_rank(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"--rank" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def wait_until_ended(pid: int) -> None:
    waiting.wait_for(lambda: not _is_rank(pid), lambda: "rank 1 outlived rank 0")


def failure_of(run_dir: RunDir) -> Failure:
    failure = outcome_of(run_dir).failure
    assert failure is not None
    return failure


@pytest.fixture(scope="module")
def alone(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """Return a finished run with one rank."""
    run_dir = prepare(tmp_path_factory.mktemp("alone") / "run", tiny_model, 1, spec_with())
    assert run_here(run_dir).status == "succeeded"
    return run_dir


def assert_same_losses(found: dict[int, float], expected: RunDir) -> None:
    assert found.keys() == losses(expected).keys() == set(range(1, STEPS + 1))
    assert found == pytest.approx(losses(expected), abs=TOLERANCE)


@pytest.mark.slow
def test_the_losses_of_three_ranks_equal_those_of_one(
    alone: RunDir, tiny_model: Path, tmp_path: Path
) -> None:
    run_dir = finish(prepare(tmp_path / "three", tiny_model, 3, spec_with()))

    assert_same_losses(losses(run_dir), alone)
    assert evaluations(run_dir) == pytest.approx(evaluations(alone), abs=TOLERANCE)
    found, expected = summary_of(run_dir), summary_of(alone)
    assert found.eval_loss == pytest.approx(expected.eval_loss, abs=TOLERANCE)
    assert found.supervised_tokens == expected.supervised_tokens
    assert found.device == f"3 × {expected.device}"
    name = "adapter_model.safetensors"
    adapter, adapter_alone = load_file(run_dir.adapter / name), load_file(alone.adapter / name)
    assert_close(adapter, adapter_alone, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_a_paused_run_of_two_ranks_resumes_on_one_and_then_on_two(
    alone: RunDir, tiny_model: Path, tmp_path: Path
) -> None:
    def pause(run_dir: RunDir, step: int) -> RunDir:
        process = run_until(run_dir, step)
        write_model(run_dir.control, Control(wanted=Wanted.PAUSE))
        assert process.wait(DEADLINE_SECONDS) == 0
        assert outcome_of(run_dir).status == "paused"
        return run_dir

    two = pause(prepare(tmp_path / "two", tiny_model, 2, spec_with()), 1)
    one = pause(prepare(tmp_path / "one", tiny_model, 1, spec_with(), resume=two), 4)
    last = finish(prepare(tmp_path / "last", tiny_model, 2, spec_with(), resume=one))

    assert_same_losses({**losses(two), **losses(one), **losses(last)}, alone)
    assert summary_of(last).eval_loss == pytest.approx(summary_of(alone).eval_loss, abs=TOLERANCE)
    logs = [r.message for r in records(one) if isinstance(r, LogRecord)]
    assert any("ranks: 2 → 1" in message for message in logs)


@pytest.mark.slow
@pytest.mark.parametrize("fused", [False, True], ids=["peft", "fused"])
def test_rank_1_dies_with_rank_0_and_a_resume_on_as_many_ranks_is_bit_exact_with_dropout(
    tiny_model: Path, tmp_path: Path, fused: bool
) -> None:
    spec = spec_with(0.1)
    if fused:
        spec["engine"] |= {"fused_lora": True}
        spec["quantization"] = {"compute_dtype": "bfloat16"}
    straight = finish(prepare(tmp_path / "straight", tiny_model, 2, spec))
    assert summary_of(straight).choices["fused_lora"]["value"] is fused
    killed = prepare(tmp_path / "killed", tiny_model, 2, spec)
    process = run_until(killed, 5)
    rank_1 = rank_1_of(process)

    process.send_signal(signal.SIGKILL)
    process.wait(DEADLINE_SECONDS)

    wait_until_ended(rank_1)
    assert not killed.outcome.exists()
    resumed = finish(prepare(tmp_path / "resumed", tiny_model, 2, spec, resume=killed))
    assert min(losses(resumed)) > 1
    assert {**losses(killed), **losses(resumed)} == losses(straight)
    name = "adapter_model.safetensors"
    assert (resumed.adapter / name).read_bytes() == (straight.adapter / name).read_bytes()


def test_a_killed_rank_ends_the_run_with_its_number_and_a_checkpoint_to_resume_from(
    tiny_model: Path, tmp_path: Path
) -> None:
    run_dir = prepare(tmp_path / "run", tiny_model, 2, spec_with() | ENDLESS)
    process = run_until(run_dir, 3)

    os.kill(rank_1_of(process), signal.SIGKILL)

    assert process.wait(DEADLINE_SECONDS) == 0
    failure = failure_of(run_dir)
    assert failure.reason is FailureReason.CHILD_KILLED
    assert failure.evidence == {"exit_code": -signal.SIGKILL, "rank": 1}
    assert failure.detail.startswith("Rank 1: ")
    assert [r for r in records(run_dir) if isinstance(r, CheckpointRecord)]


@pytest.mark.slow  # test_rank_failures.py has a quick one
def test_a_suspended_rank_is_reported_as_hung_with_its_number(
    tiny_model: Path, tmp_path: Path
) -> None:
    run_dir = prepare(tmp_path / "run", tiny_model, 2, spec_with() | ENDLESS, hang_seconds=25)
    process = run_until(run_dir, 1)
    rank_1 = rank_1_of(process)

    os.kill(rank_1, signal.SIGSTOP)

    assert process.wait(DEADLINE_SECONDS) == 0
    failure = failure_of(run_dir)
    assert failure.reason is FailureReason.NO_PROGRESS
    assert failure.evidence["rank"] == 1
    assert "on rank 1" in failure.detail
    wait_until_ended(rank_1)


def test_a_cancelled_run_ends_on_all_ranks(tiny_model: Path, tmp_path: Path) -> None:
    run_dir = prepare(tmp_path / "run", tiny_model, 2, spec_with() | ENDLESS)
    process = run_until(run_dir, 1)
    rank_1 = rank_1_of(process)

    write_model(run_dir.control, Control(wanted=Wanted.CANCEL))

    assert process.wait(DEADLINE_SECONDS) == 0
    assert outcome_of(run_dir).status == "cancelled"
    wait_until_ended(rank_1)


INJECTIONS = {
    "memory": """
        if not failed:
            failed.append(True)
            raise torch.OutOfMemoryError("CUDA out of memory (injected)")
""",
    "hang": """
        if len(calls) == 4:
            time.sleep(1000)
""",
    "error": """
        if len(calls) == 4:
            raise ValueError("injected")
""",
}


def inject(directory: Path, what: str) -> str:
    """Return a PYTHONPATH that makes rank 1 fail in its forward passes as INJECTIONS[what] defines."""
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(f"""
import sys, time
if "--rank" in sys.orig_argv:
    import torch
    import worker.training.loop as loop
    calls, failed, sum_score = [], [], loop.sum_score
    def failing(*arguments):
        calls.append(True){INJECTIONS[what]}
        return sum_score(*arguments)
    loop.sum_score = failing
""")
    return str(directory)


@pytest.mark.slow
def test_a_rank_that_runs_out_of_memory_retries_alone_and_the_losses_stay_the_same(
    alone: RunDir, tiny_model: Path, tmp_path: Path
) -> None:
    run_dir = prepare(tmp_path / "run", tiny_model, 2, spec_with())

    process = start(run_dir, PYTHONPATH=inject(tmp_path / "inject", "memory"))
    assert process.wait(DEADLINE_SECONDS) == 0

    assert_same_losses(losses(run_dir), alone)
    assert "rank 1: [warning] out of memory" in run_dir.output.read_text()


@pytest.mark.parametrize(
    ("what", "reason", "detail"),
    [
        pytest.param(
            "error", FailureReason.CRASHED, "ValueError: injected", marks=pytest.mark.slow
        ),
        pytest.param(
            "hang", FailureReason.NO_PROGRESS, "in failing", marks=pytest.mark.slow
        ),  # the quick test of a suspended rank covers most of it
    ],
)
def test_the_failure_of_a_rank_is_reported_with_its_number_and_its_stack(
    tiny_model: Path, tmp_path: Path, what: str, reason: FailureReason, detail: str
) -> None:
    run_dir = prepare(tmp_path / "run", tiny_model, 2, spec_with() | ENDLESS, hang_seconds=25)

    process = start(run_dir, PYTHONPATH=inject(tmp_path / "inject", what))
    assert process.wait(DEADLINE_SECONDS) == 0

    failure = failure_of(run_dir)
    assert failure.reason is reason
    assert failure.evidence["rank"] == 1
    assert detail in failure.detail


def test_the_ranks_listen_on_the_loopback_interface_only(tiny_model: Path, tmp_path: Path) -> None:
    run_dir = prepare(tmp_path / "run", tiny_model, 2, spec_with() | ENDLESS)
    process = run_until(run_dir, 1)

    addresses = {address for pid in (process.pid, rank_1_of(process)) for address in listening(pid)}
    process.send_signal(signal.SIGTERM)
    process.wait(DEADLINE_SECONDS)

    assert addresses <= {"0100007F", "00000000000000000000000001000000"}, addresses
    assert outcome_of(run_dir).status == "interrupted"


def listening(pid: int) -> list[str]:
    """Return the addresses, in hexadecimal, of the sockets on which a process listens."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(link.readlink().name)
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                found.append(fields[1].partition(":")[0])
    return found
