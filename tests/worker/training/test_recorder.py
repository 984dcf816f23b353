from pathlib import Path

import pytest

from contracts.job import Phase
from contracts.record import CheckpointRecord, EvalRecord, LogRecord, MetricRecord, decode_line
from worker.training.recorder import Recorder


def test_records_are_whole_lines_numbered_from_one(tmp_path: Path) -> None:
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


def test_entering_the_same_phase_twice_records_it_once_and_seconds_add_up(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"

    with Recorder(path) as recorder:
        for phase in (Phase.TRAINING, Phase.TRAINING, Phase.EVALUATING, Phase.TRAINING):
            recorder.phase(phase)

        assert len(path.read_bytes().splitlines()) == 3
        assert set(recorder.phase_seconds()) == {"training", "evaluating"}


def test_a_file_of_another_run_is_never_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text("")

    with pytest.raises(FileExistsError):
        Recorder(path)
