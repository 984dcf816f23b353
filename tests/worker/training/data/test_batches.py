import numpy as np
import pytest
import torch

from worker.training.data.arrays import Sample
from worker.training.data.batches import Windows, pack, supervised_tokens
from worker.training.data.order import epoch_order


def samples(*lengths: int) -> list[Sample]:
    """Return samples with distinct ids; the second half of each is supervised."""
    return [
        Sample(
            np.arange(1000 * row, 1000 * row + length, dtype=np.int32),
            np.arange(length) >= max(1, length // 2),
        )
        for row, length in enumerate(lengths)
    ]


def test_windows_follow_the_order_of_the_epoch_and_the_last_one_may_be_smaller() -> None:
    rows = samples(*[5] * 10)
    windows = Windows(rows, effective_batch_size=4, seed=42)

    drawn = [windows.window(step) for step in range(1, 7)]

    assert windows.per_epoch == 3
    assert [len(window) for window in drawn] == [4, 4, 2, 4, 4, 2]
    for epoch in (0, 1):
        flat = [s for window in drawn[3 * epoch : 3 * epoch + 3] for s in window]
        assert [s.ids[0] // 1000 for s in flat] == epoch_order(42, epoch, 10)


def test_windows_can_be_read_in_any_order() -> None:
    rows = samples(*range(3, 20))
    straight, jumping = Windows(rows, 4, seed=1), Windows(rows, 4, seed=1)
    expected = [straight.window(step) for step in range(1, 11)]

    assert jumping.window(9) == expected[8]
    assert jumping.window(2) == expected[1]


def test_the_number_of_epochs_done_is_exact_at_the_end_of_each_epoch() -> None:
    windows = Windows(samples(*[5] * 10), effective_batch_size=4, seed=42)

    assert [windows.epochs_done(step) for step in (1, 3, 6)] == pytest.approx([0.4, 1.0, 2.0])


def test_packing_keeps_every_token_once_and_stays_within_the_budget() -> None:
    rows = samples(9, 30, 12, 7, 5, 16)

    batches = pack(rows, token_budget=32)

    assert sorted(i for b in batches for i in b.input_ids[0].tolist()) == sorted(
        i for row in rows for i in row.ids.tolist()
    )
    assert all(batch.tokens <= 32 for batch in batches)
    assert len(batches) == 3  # 79 tokens do not fit into two micro-batches


def test_the_fullest_micro_batch_comes_first() -> None:
    batches = pack(samples(60, 50, 50), 100)

    assert [batch.tokens for batch in batches] == [100, 60]


def test_a_sample_longer_than_the_budget_gets_its_own_micro_batch() -> None:
    batches = pack(samples(5, 100, 6), token_budget=16)

    assert [batch.tokens for batch in batches] == [100, 11]


def test_positions_restart_and_targets_stay_within_each_sample() -> None:
    rows = samples(6, 4, 1)
    (batch,) = pack(rows, token_budget=64)

    assert batch.position_ids[0].tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 0]
    ids = batch.input_ids[0]
    assert (ids[batch.places] + 1).tolist() == batch.targets.tolist()
    assert (batch.position_ids[0][batch.places + 1] > 0).all()
    assert len(batch.targets) == supervised_tokens(rows) == 5
    assert batch.rows.tolist() == [0, 0, 0, 1, 1]


def test_samples_that_must_not_be_packed_together_get_a_micro_batch_each() -> None:
    assert [b.tokens for b in pack(samples(3, 5, 4), 64, together=False)] == [5, 4, 3]


def test_boundaries_mark_where_each_sample_begins() -> None:
    (batch,) = pack(samples(3, 5, 2), 64)

    assert batch.boundaries.tolist() == [0, 5, 8, 10]
    assert batch.boundaries.dtype is torch.int32
    assert batch.longest == 5
    assert batch.moved(torch.clone).longest == 5
