"""Failures of one rank, in native code or before it has joined the others. Each is reported with reason and rank."""

import os
import signal
from pathlib import Path

import pytest

from contracts.failure import FailureReason
from contracts.run.run_dir import Placed, RunDir, write_model
from tests.worker.training.harness.run_directory import DEADLINE_SECONDS, start, wait_for
from tests.worker.training.ranks.test_ranks import (
    ENDLESS,
    INJECTIONS,
    failure_of,
    inject,
    prepare,
    rank_1_of,
    spec_with,
    wait_until_ended,
)
from worker.training import run
from worker.training.errors import TrainingError
from worker.training.ranks.others import signs_path
from worker.training.run import run_to_outcome
from worker.training.rundir.stop import Stop

ILLEGAL = "Error an illegal memory access was encountered at line 90 in file /src/csrc/ops.cu"
FULL = "Error out of memory at line 90 in file /src/csrc/ops.cu"
ABORTED = "  what():  CUDA error: unspecified launch failure"


def ending(line: str, how: str) -> str:
    """Return code that makes a rank print a line, as native code would, and end."""
    return f"""
        import os
        print({line!r}, flush=True)
        {how}
"""


@pytest.mark.parametrize(
    ("line", "how", "reason"),
    [
        (ILLEGAL, "os._exit(1)", FailureReason.DEVICE_FAILED),
        pytest.param(FULL, "os._exit(1)", FailureReason.OOM_GPU, marks=pytest.mark.slow),
        pytest.param(ABORTED, "os.abort()", FailureReason.DEVICE_FAILED, marks=pytest.mark.slow),
    ],
    ids=["illegal access", "out of memory", "aborted by torch"],
)
def test_a_rank_that_native_code_ends_is_reported_with_the_printed_reason(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    line: str,
    how: str,
    reason: FailureReason,
) -> None:
    monkeypatch.setitem(INJECTIONS, "native", ending(line, how))
    run_dir = prepare(tmp_path / "run", tiny_model, 2, spec_with() | ENDLESS)

    process = start(run_dir, PYTHONPATH=inject(tmp_path / "inject", "native"))
    assert process.wait(DEADLINE_SECONDS) == 0

    failure = failure_of(run_dir)
    assert (failure.reason, failure.evidence["rank"]) == (reason, 1)
    assert failure.detail.startswith("Rank 1: ")
    assert f"rank 1: {line}" in run_dir.output.read_text()


@pytest.mark.parametrize(("ranks", "rank"), [(1, None), (2, 0)])
def test_an_error_of_rank_0_itself_is_reported_with_its_number_if_there_are_others(
    tmp_path: Path, ranks: int, rank: int | None
) -> None:
    run_dir = RunDir(tmp_path)
    write_model(run_dir.placed, Placed(ranks=ranks))
    run_dir.spec.mkdir()  # reading it raises IsADirectoryError

    failure = run_to_outcome(run_dir, Stop(run_dir.control)).failure

    assert failure is not None
    assert failure.evidence.get("rank") == rank
    assert failure.detail.startswith("Rank 0: ") == (ranks > 1)
    assert "IsADirectoryError" in failure.detail


@pytest.mark.parametrize(
    "error",
    [
        TrainingError(FailureReason.DATASET_INVALID, "line 3 is not JSON"),
        TrainingError(FailureReason.CRASHED, "different windows", evidence={"ranks": 2}),
        TrainingError(FailureReason.CHILD_KILLED, "Rank 1: killed", evidence={"rank": 1}),
    ],
    ids=["shared by all ranks", "found by all ranks", "of rank 1"],
)
def test_a_failure_that_is_not_of_rank_0_alone_is_not_attributed_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: TrainingError
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(run, "_run", fail)
    run_dir = RunDir(tmp_path)
    write_model(run_dir.placed, Placed(ranks=2))

    assert run_to_outcome(run_dir, Stop(run_dir.control)).failure == error.failure


@pytest.mark.slow
def test_a_rank_suspended_before_it_joins_the_others_is_reported_as_hung(
    tiny_model: Path, tmp_path: Path
) -> None:
    run_dir = prepare(tmp_path / "run", tiny_model, 2, spec_with(), hang_seconds=4)
    process = start(run_dir)
    wait_for((signs_path(run_dir).parent / "1" / "stack").exists, process)
    rank_1 = rank_1_of(process)

    os.kill(rank_1, signal.SIGSTOP)

    assert process.wait(DEADLINE_SECONDS) == 0
    failure = failure_of(run_dir)
    assert failure.reason is FailureReason.NO_PROGRESS
    assert failure.evidence["rank"] == 1
    wait_until_ended(rank_1)
