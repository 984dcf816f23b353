"""The sample of a dataset's rows, from which a plan estimates tokens."""

import json
from pathlib import Path

import pytest

from app.datasets.review.findings import Bin, Lengths, Statistics
from app.plans.rows.sample import Characters, RowLength, RowSample, read_sample
from app.plans.rows.truncation import find_cuts
from app.plans.words import message_of
from tests.app.plans.planned import forecast_of, start_worker
from tests.app.player import Player


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


def characters(*lengths: int, script: str = "latin") -> Characters:
    """Return what a review says about rows of these lengths in characters."""
    bins = [Bin(from_characters=each, to_characters=each + 1, rows=1) for each in lengths]
    found = Lengths(
        mean=1.0, shortest=1, p50=1, p90=1, p95=1, p99=1, longest=max(lengths), histogram=bins
    )
    return Characters.of(
        Statistics(
            turns=1,
            characters=1,
            trained_characters=1,
            trained_share=1.0,
            roles={},
            lengths=found,
            scripts={script: 100},
            rows_with_copies=0,
        )
    )


SHORT, NEAR, LONG = RowLength(50, 20), RowLength(115, 20), RowLength(300, 20)


@pytest.mark.parametrize(
    ("lengths", "is_complete", "reviewed", "expected"),
    [
        ([SHORT] * 400, False, [], None),
        ([SHORT] * 400, False, [characters(200, 400)], None),
        # 100 tokens are about 420 characters of English.
        ([SHORT] * 400, False, [characters(200, 600)], None),
        ([SHORT] * 400, False, [characters(200, 700, 5000)], ("characters", 2)),
        ([SHORT] * 400, False, [characters(200, 250, script="han")], ("characters", 1)),
        ([SHORT] * 398 + [NEAR] * 2, True, [], None),
        ([SHORT] * 398 + [LONG] * 2, True, [], ("characters", 2)),
        ([SHORT] * 399 + [LONG], False, [], ("sample", None)),
    ],
)
def test_a_few_rows_that_are_clearly_too_long_give_a_warning_and_rows_near_the_limit_do_not(
    lengths: list[RowLength],
    is_complete: bool,
    reviewed: list[Characters],
    expected: tuple[str, int | None] | None,
) -> None:
    sample = RowSample(tuple(lengths), is_complete, characters=tuple(reviewed))

    notes = find_cuts(sample, 100, None)

    found = [(note.values["basis"], note.values.get("rows")) for note in notes]
    assert found == ([] if expected is None else [expected])
    assert all("about" in message_of(note, "en") for note in notes)


def test_a_plan_warns_of_one_long_row_that_is_not_in_the_sample(
    player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.plans.rows.sample._PLACE_BYTES", 1000)
    start_worker(player)
    short, long = (
        f'{{"instruction": "a", "output": "{"word " * count}"}}\n' for count in (40, 2000)
    )
    rows = short * 120 + long + short * 280
    uploaded = player.client.post("/v1/datasets", files={"file": ("a.jsonl", rows)}).json()

    warnings = forecast_of(player, uploaded["id"])["warnings"]

    (warning,) = [each for each in warnings if each["code"] == "rows_over_length"]
    assert warning["values"]["rows"] == 1
    assert "about 1, estimated from characters" in warning["message"]
