"""Signs of life: which rank the others are waiting for, and how long it has been silent."""

import time
from pathlib import Path

from worker.training.ranks.signs import Signs


def test_the_awaited_rank_is_the_one_that_has_met_the_others_least_often(tmp_path: Path) -> None:
    path = tmp_path / "signs"
    Signs.create(path, 3)
    first, second, third = (Signs(rank, 3, path) for rank in range(3))
    for signs in (first, second, third):
        signs.meet()

    first.meet()
    third.meet()

    assert [signs.silence()[0] for signs in (first, second, third)] == [1, 1, 1]


def test_a_beat_ends_only_the_silence_of_the_awaited_rank(tmp_path: Path) -> None:
    path = tmp_path / "signs"
    Signs.create(path, 2)
    waiting, late = Signs(0, 2, path), Signs(1, 2, path)
    waiting.meet()
    before = waiting.silence()[1]

    waiting.beat()
    rank, silent = waiting.silence()
    assert (rank, silent >= before) == (1, True)

    beaten_at = time.monotonic()
    late.beat()
    assert waiting.silence()[1] <= time.monotonic() - beaten_at


def test_of_several_awaited_ranks_the_longest_silent_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "signs"
    Signs.create(path, 3)
    first, second = Signs(0, 3, path), Signs(1, 3, path)
    first.meet()
    second.beat()

    assert first.silence()[0] == 2
