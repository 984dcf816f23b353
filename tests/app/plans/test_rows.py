"""The sample of a dataset's rows, from which a plan estimates tokens."""

import json
from pathlib import Path

import pytest

from app.plans.rows.sample import read_sample


@pytest.mark.parametrize(
    ("characters", "at_least"),
    [([100] * 9_000, 400), ([100] * 9_000 + [900_000], 300), ([600_000] * 3, 1)],
)
def test_rows_larger_than_a_block_do_not_empty_the_sample(
    tmp_path: Path, characters: list[int], at_least: int
) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"instruction": "a", "output": "b" * count} for count in characters]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    sample = read_sample(path)

    assert len(sample.lengths) >= at_least
    assert not sample.is_complete
