from pathlib import Path

import pytest

from contracts.job import Phase
from contracts.record import (
    CheckpointRecord,
    EvalRecord,
    GapRecord,
    LogRecord,
    MetricRecord,
    PhaseRecord,
    decode_line,
)
from worker.training.rundir.recorder import Recorder


def test_records_are_complete_lines_numbered_from_one(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"

    with Recorder(path) as recorder:
        recorder.phase(Phase.TRAINING, 0, 10)
        recorder.metric(1, {"loss": float("nan"), "tokens": 3})
        recorder.evaluation(1, 2.5, 10, 0.1)
        recorder.checkpoint(1, "step-00000001", 12)
        recorder.log("Hello", level="warning", rows=3)

    found = [decode_line(line) for line in path.read_bytes().splitlines()]
    assert [record.seq for record in found] == [1, 2, 3, 4, 5]
    kinds = [type(record) for record in found[1:]]
    assert kinds == [MetricRecord, EvalRecord, CheckpointRecord, LogRecord]


def test_a_record_is_readable_as_soon_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"

    with Recorder(path) as recorder:
        recorder.metric(1, {"loss": 1.0})

        assert decode_line(path.read_bytes()).seq == 1


def test_entering_the_same_phase_twice_records_it_once_and_its_seconds_add_up(
    tmp_path: Path,
) -> None:
    path = tmp_path / "records.jsonl"

    with Recorder(path) as recorder:
        for phase in (Phase.TRAINING, Phase.TRAINING, Phase.EVALUATING, Phase.TRAINING):
            recorder.phase(phase)

        assert len(path.read_bytes().splitlines()) == 3
        assert set(recorder.phase_seconds()) == {"training", "evaluating"}


def test_a_file_from_another_run_is_never_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text("")

    with pytest.raises(FileExistsError):
        Recorder(path)


def test_a_nearly_full_spool_stores_fewer_metrics_and_notes_the_missing_ones_as_gaps(
    tmp_path: Path,
) -> None:
    path = tmp_path / "records.jsonl"
    limit, steps = 40_000, 3000

    with Recorder(path, limit) as recorder:
        for step in range(1, steps + 1):
            recorder.metric(step, {"loss": 1.0})

    found = [decode_line(line) for line in path.read_bytes().splitlines()]
    assert path.stat().st_size < limit
    assert [record.seq for record in found] == list(range(1, len(found) + 1))
    gaps = [record for record in found if isinstance(record, GapRecord)]
    kept = {record.step for record in found if isinstance(record, MetricRecord)}
    missing = {s for gap in gaps for s in range(gap.first_step, gap.last_step + 1)}
    assert kept | missing == set(range(1, steps + 1))
    assert kept.isdisjoint(missing)
    assert sum(gap.count for gap in gaps) == gaps[-1].total == len(missing)
    assert len(kept) > 200, "the first metrics are all kept"
    assert max(kept) > steps / 4, "some of the later metrics are kept"


def test_a_gap_is_recorded_before_the_records_that_follow_it(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"

    with Recorder(path, 1) as recorder:
        recorder.metric(1, {"loss": 1.0})
        recorder.metric(2, {"loss": 1.0})
        recorder.checkpoint(2, "step-00000002", 12)

    found = [decode_line(line) for line in path.read_bytes().splitlines()]
    assert [record.type for record in found] == ["metric", "gap", "checkpoint"]


def test_evaluations_and_their_phases_do_not_exceed_the_spool_limit(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    limit, steps = 20_000, 500

    with Recorder(path, limit) as recorder:
        for step in range(1, steps + 1):
            recorder.phase(Phase.TRAINING, step)
            recorder.metric(step, {"loss": 1.0})
            recorder.phase(Phase.EVALUATING, step)
            recorder.evaluation(step, 1.0, 100, 0.1)

    found = [decode_line(line) for line in path.read_bytes().splitlines()]
    assert path.stat().st_size < limit
    assert [record.seq for record in found] == list(range(1, len(found) + 1))
    evaluated = [record.step for record in found if isinstance(record, EvalRecord)]
    metrics = [record for record in found if isinstance(record, MetricRecord)]
    gaps = [record for record in found if isinstance(record, GapRecord)]
    assert evaluated == sorted(evaluated)
    assert evaluated[-1] == steps, "the last evaluation is kept"
    assert len(evaluated) + len(metrics) + sum(gap.count for gap in gaps) == 2 * steps
    assert {record.step for record in metrics} != set(evaluated), "each kind is thinned separately"
    phases = [record.phase for record in found if isinstance(record, PhaseRecord)]
    assert phases[-1] is Phase.TRAINING, "the last recorded phase is not an evaluation"
    assert set(recorder.phase_seconds()) == {"training", "evaluating"}


def test_the_evaluation_of_a_checkpoint_is_recorded_even_if_the_spool_is_full(
    tmp_path: Path,
) -> None:
    path = tmp_path / "records.jsonl"

    with Recorder(path, 1) as recorder:
        for step in (1, 2, 3):
            recorder.metric(step, {"loss": 1.0})
            recorder.evaluation(step, 1.0, 100, 0.1)
        recorder.checkpoint(3, "step-00000003", 12)

    found = [decode_line(line) for line in path.read_bytes().splitlines()]
    assert [record.type for record in found] == [
        "metric",
        "gap",
        "eval",
        "checkpoint",
    ]
    gap = found[1]
    assert isinstance(gap, GapRecord)
    assert (gap.first_step, gap.last_step, gap.count) == (1, 3, 4)


def test_only_checkpoints_exceed_the_spool_limit_and_only_by_a_bounded_amount(
    tmp_path: Path,
) -> None:
    path = tmp_path / "records.jsonl"
    limit, steps = 20_000, 300

    with Recorder(path, limit) as recorder:
        for step in range(1_000_001, 1_000_001 + steps):
            recorder.phase(Phase.TRAINING, step)
            recorder.metric(step, {"loss": 1.0})
            recorder.phase(Phase.EVALUATING, step)
            recorder.evaluation(step, 1.0, 100_000, 0.1)
            recorder.phase(Phase.SAVING, step)
            recorder.checkpoint(step, f"step-{step:08d}", 10**9)

    found = [decode_line(line) for line in path.read_bytes().splitlines()]
    assert limit < path.stat().st_size < limit + 600 * steps
    assert sum(isinstance(record, CheckpointRecord) for record in found) == steps
    assert sum(isinstance(record, EvalRecord) for record in found) == steps
