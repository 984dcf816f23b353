"""Failures of one rank, in native code or before it has joined the others. Each is reported with reason and rank."""

import os
import signal
from pathlib import Path

import pytest

from contracts.failure import FailureReason
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
from tests.worker.training.run_directory import DEADLINE_SECONDS, start, wait_for
from worker.training.ranks.others import signs_path

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
