"""How a run fails: each failure has a reason code and names its cause."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from contracts.attempt import Outcome
from contracts.failure import FailureReason
from contracts.run.run_dir import Placed, write_model
from tests.tiny_model import make_rows
from tests.worker.training.harness.forked import fork
from tests.worker.training.harness.run_directory import (
    DEADLINE_SECONDS,
    losses,
    make_run_dir,
    outcome_of,
    records,
    run,
    run_here,
    wait_for,
)
from worker.training.rundir.checkpoint import find_newest


def poisoned(model: Path, directory: Path) -> Path:
    """Copy the model and put a NaN into its last norm."""
    copy = copy_model(model, directory)
    weights = load_file(copy / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


def copy_model(model: Path, directory: Path) -> Path:
    directory.mkdir()
    for path in model.iterdir():
        (directory / path.name).write_bytes(path.read_bytes())
    return directory


def cut_short(model: Path, directory: Path) -> Path:
    copy = copy_model(model, directory)
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    return copy


def without_config(model: Path, directory: Path) -> Path:
    copy = copy_model(model, directory)
    (copy / "config.json").unlink()
    return copy


def with_config(name: str, value: Any) -> Callable[[Path, Path], Path]:
    def change(model: Path, directory: Path) -> Path:
        copy = copy_model(model, directory)
        config = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps(config | {name: value}))
        return copy

    return change


def with_fewer_embeddings(model: Path, directory: Path) -> Path:
    copy = with_config("vocab_size", 8)(model, directory)
    weights = load_file(copy / "model.safetensors")
    weights["model.embed_tokens.weight"] = weights["model.embed_tokens.weight"][:8].contiguous()
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


@dataclass(frozen=True)
class Bad:
    """A way to break a run, and the failure that it must cause."""

    model: Callable[[Path, Path], Path]
    spec: dict[str, Any]
    reason: FailureReason
    message: str


@pytest.mark.parametrize(
    "bad",
    [
        Bad(without_config, {}, FailureReason.MODEL_NOT_FOUND, "config.json"),
        Bad(
            cut_short, {}, FailureReason.MODEL_REFUSED, "model.safetensors is damaged or truncated"
        ),
        Bad(poisoned, {}, FailureReason.LOSS_NOT_FINITE, "evaluation rows"),
        Bad(with_config("hidden_size", "big"), {}, FailureReason.MODEL_REFUSED, "hidden_size"),
        Bad(with_config("num_attention_heads", 0), {}, FailureReason.MODEL_REFUSED, "loaded"),
        Bad(with_fewer_embeddings, {}, FailureReason.MODEL_REFUSED, "only 8 embeddings"),
        Bad(copy_model, {"lora": {"rank": 65}}, FailureReason.SPEC_REFUSED, "lora.rank is 65"),
        Bad(
            copy_model,
            {"training": {"max_length": 4096}},
            FailureReason.SPEC_REFUSED,
            "training.max_length is 4096",
        ),
        Bad(
            copy_model,
            {"training": {"per_device_batch_size": 64}},
            FailureReason.DATASET_TOO_SMALL,
            "one update needs",
        ),
    ],
    ids=lambda bad: bad.message,
)
def test_a_failure_has_a_reason_code_and_names_its_cause(
    tiny_model: Path, tmp_path: Path, bad: Bad
) -> None:
    (tmp_path / "run").mkdir()
    model = bad.model(tiny_model, tmp_path / "model")

    outcome = run_here(make_run_dir(tmp_path / "run", model, spec=bad.spec))

    assert outcome.status == "failed"
    assert outcome.failure is not None
    assert outcome.failure.reason is bad.reason
    assert bad.message in outcome.failure.detail


def test_an_invalid_row_fails_the_run_with_its_line_number(
    tiny_model: Path, tmp_path: Path
) -> None:
    rows = [*make_rows(20), {"question": "?"}, *make_rows(3)]

    outcome = run_here(make_run_dir(tmp_path, tiny_model, rows=rows))

    assert outcome.failure is not None
    assert outcome.failure.reason is FailureReason.DATASET_INVALID
    assert outcome.failure.evidence == {"line": 21}


def test_an_unexpected_error_is_reported_as_a_crash_with_its_traceback(
    tiny_model: Path, tmp_path: Path
) -> None:
    run_dir = make_run_dir(tmp_path, tiny_model)
    run_dir.adapter.write_text("a file where the adapter's directory should be")

    outcome = run(run_dir)

    assert outcome.failure is not None
    assert outcome.failure.reason is FailureReason.CRASHED
    assert "Traceback" in outcome.failure.detail
    assert "Traceback" in run_dir.output.read_text()


LONG = {"training": {"epochs": 30}, "evaluation": {"every_steps": 1000}}


@pytest.mark.parametrize(
    ("spec", "longest_file", "steps"),
    [
        (LONG, 6_000, range(1, 120)),
        (LONG | {"checkpoint": {"every_steps": 2}}, 65_000, [2]),
        ({"training": {"max_steps": 3}}, 20_000, [3]),
    ],
    ids=["records", "checkpoint", "adapter"],
)
def test_a_file_that_cannot_be_written_ends_the_run_as_disk_full(
    tiny_model: Path,
    tmp_path: Path,
    spec: dict[str, Any],
    longest_file: int,
    steps: Sequence[int],
) -> None:
    run_dir = make_run_dir(tmp_path, tiny_model, spec=spec)
    process = fork(run_dir)
    wait_for(lambda: records(run_dir), process)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (longest_file, longest_file))

    assert process.wait(DEADLINE_SECONDS) == 0, run_dir.output.read_text()

    outcome = outcome_of(run_dir)
    assert outcome.failure is not None
    assert outcome.failure.reason is FailureReason.DISK_FULL, outcome.failure.detail
    assert not run_dir.summary.exists()
    assert not run_dir.adapter.exists()
    assert find_newest(run_dir.checkpoints) is None
    assert outcome.step in steps


def test_the_outcome_can_be_written_to_a_completely_full_disk(
    tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "laid").mkdir()
    laid = make_run_dir(tmp_path / "laid", tiny_model, spec=LONG | {"training": {"epochs": 1000}})
    (tmp_path / "disk").mkdir()
    done = subprocess.run(
        [
            *("unshare", "--map-root-user", "--mount", "sh", "-c"),
            'mount -t tmpfs -o size=100k tmpfs "$1" && cp -a "$0/." "$1/" && rm "$1/output.log" '
            '; "$2" -m worker.training "$1"; cp "$1/outcome.json" "$0/"',
            *(str(laid.path), str(tmp_path / "disk"), sys.executable),
        ],
        env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        check=False,
        text=True,
    )
    if "unshare" in done.stderr:
        pytest.skip("this system does not let users mount file systems")

    outcome = outcome_of(laid)
    assert outcome.failure is not None, done.stderr
    assert outcome.failure.reason is FailureReason.DISK_FULL
    assert 0 < outcome.step < 4000


def test_unwritable_output_does_not_fail_the_run(tiny_model: Path, tmp_path: Path) -> None:
    run_dir = make_run_dir(tmp_path, tiny_model, spec={"training": {"max_steps": 2}})
    run_dir.output.symlink_to("/dev/full")

    fork(run_dir).wait(DEADLINE_SECONDS)

    assert outcome_of(run_dir) == Outcome(status="succeeded", step=2)


_HANGS = """
import sys, time
from pathlib import Path
from contracts.run.run_dir import RunDir
from worker.training.run import run_to_outcome
from worker.training.rundir.stop import Stop

class Hangs(Stop):
    looks = 0
    def check(self):
        self.looks += 1
        while self.looks > 20:
            time.sleep(1)

run_dir = RunDir(Path(sys.argv[1]))
run_to_outcome(run_dir, Hangs(run_dir.control))
"""


def test_a_hung_program_reports_where_it_hangs_and_exits(tiny_model: Path, tmp_path: Path) -> None:
    run_dir = make_run_dir(tmp_path, tiny_model, spec=LONG)
    write_model(run_dir.placed, Placed(hang_seconds=5))

    process = subprocess.run(
        [sys.executable, "-c", _HANGS, str(run_dir.path)],
        timeout=DEADLINE_SECONDS,
        capture_output=True,
        check=False,
        text=True,
    )

    assert process.returncode == 0, process.stderr
    outcome = outcome_of(run_dir)
    assert outcome.failure is not None
    assert outcome.failure.reason is FailureReason.NO_PROGRESS
    assert outcome.failure.step == outcome.step + 1 == max(losses(run_dir)) + 1
    assert "time.sleep" in outcome.failure.detail or "in check" in outcome.failure.detail
    assert outcome.failure.evidence["limit_seconds"] == 5
