"""Files written by an earlier version still load. Changes to these files must be discussed in review."""

from pathlib import Path

from contracts.job import JobSpec
from contracts.record import decode_line, encode_line

SNAPSHOTS = Path(__file__).parent.parent / "snapshots"


def test_a_spec_from_an_earlier_version_still_loads() -> None:
    spec = JobSpec.model_validate_json((SNAPSHOTS / "spec.json").read_text())

    assert (spec.name, spec.labels) == ("first run", {"team": "nlp"})


def test_records_from_an_earlier_version_still_load() -> None:
    lines = (SNAPSHOTS / "records.jsonl").read_bytes().splitlines(keepends=True)

    records = [decode_line(line) for line in lines]

    assert [record.type for record in records] == ["phase", "metric", "eval", "checkpoint", "log"]
    assert [encode_line(record) for record in records] == lines
