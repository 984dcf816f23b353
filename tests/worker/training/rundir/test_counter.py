from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from contracts.attempt import RowProgress
from contracts.dataset.conversation import Message
from contracts.job import Phase
from contracts.run.run_dir import RunDir
from tests.tiny_model import make_rows, write_rows
from tests.worker.training.conftest import small_spec
from tests.worker.training.harness.run_directory import make_run_dir, run_here
from tests.worker.training.learning.test_loss import ragged_samples
from worker.training import loop
from worker.training.data.preparation import prepare
from worker.training.data.rendering.template import Rendered, Template
from worker.training.learning.evaluate import evaluate
from worker.training.model.trainable import TrainableModel
from worker.training.rundir.counter import RowCounter


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path)


def read(run_dir: RunDir) -> RowProgress:
    return RowProgress.model_validate_json(run_dir.progress.read_bytes())


def test_the_remaining_time_is_estimated_from_the_work_not_from_the_rows(run_dir: RunDir) -> None:
    clock = Clock()

    with RowCounter(run_dir.progress, clock).counting(Phase.EVALUATING, 100, 1000) as count:
        before = read(run_dir)
        clock.now += 10
        count(5, 500)  # the longest rows come first
        after = read(run_dir)

    assert (before.rows_done, before.rows_total, before.seconds_left) == (0, 100, None)
    assert (after.phase, after.rows_done, after.rows_total) == (Phase.EVALUATING, 5, 100)
    assert (after.seconds, after.seconds_left) == (10, 10)


def test_the_progress_file_is_replaced_at_most_every_half_second(
    run_dir: RunDir,
) -> None:
    clock, seen = Clock(), []

    with RowCounter(run_dir.progress, clock).counting(Phase.TOKENIZING, 1000, 1000) as count:
        for _ in range(1000):
            clock.now += 0.01
            count(1, 1)
            seen.append(read(run_dir).rows_done)

    assert 15 <= len(set(seen)) <= 21, "once at the start, then every half second for ten seconds"
    assert seen[-1] >= 950


def test_the_progress_file_is_deleted_when_the_phase_ends_or_fails(run_dir: RunDir) -> None:
    counter = RowCounter(run_dir.progress)

    with counter.counting(Phase.TOKENIZING, 10, 10):
        assert run_dir.progress.exists()
    assert not run_dir.progress.exists()

    with pytest.raises(KeyError), counter.counting(Phase.TOKENIZING, 10, 10):
        raise KeyError
    assert not run_dir.progress.exists()


def test_a_progress_file_that_cannot_be_written_does_not_stop_the_run(tmp_path: Path) -> None:
    with RowCounter(tmp_path / "absent" / "progress.json").counting(
        Phase.EVALUATING, 2, 2
    ) as count:
        count(2, 2)


def test_an_evaluation_counts_every_sample_and_every_token_once(
    load: Callable[..., TrainableModel],
) -> None:
    samples = ragged_samples(12)
    counted: list[tuple[int, int]] = []

    evaluate(load(), samples, 64, step=0, count=lambda rows, work: counted.append((rows, work)))

    assert len(counted) > 2
    assert sum(rows for rows, _ in counted) == len(samples)
    assert sum(work for _, work in counted) == sum(len(sample) for sample in samples)


def test_tokenizing_counts_every_row(tokenizer: Any, run_dir: RunDir) -> None:
    write_rows(run_dir.train_data, make_rows(600))
    clock = Clock()
    seen: list[int] = []

    class Slow(Template):
        """Advances the clock by one second per row."""

        def render(self, messages: Sequence[Message], tools: Sequence[Any] = ()) -> Rendered:
            clock.now += 1
            progress = read(run_dir)
            assert (progress.phase, progress.rows_total) == (Phase.TOKENIZING, 600)
            seen.append(progress.rows_done)
            return super().render(messages, tools)

    counter = RowCounter(run_dir.progress, clock)
    prepare(run_dir, small_spec(), tokenizer, Slow(tokenizer), counter=counter)

    assert sorted(set(seen)) == [0, 250, 500, 588], "588 training rows and 12 evaluation rows"


def test_a_run_counts_the_rows_of_each_evaluation(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = make_run_dir(tmp_path, tiny_model, spec={"training": {"max_steps": 1}})
    seen: list[RowProgress] = []

    def look_and_evaluate(*arguments: Any, **named: Any) -> Any:
        seen.append(read(run_dir))
        return evaluate(*arguments, **named)

    monkeypatch.setattr(loop, "evaluate", look_and_evaluate)

    assert run_here(run_dir).status == "succeeded"

    assert [(one.phase, one.rows_done, one.rows_total) for one in seen] == [
        (Phase.EVALUATING, 0, 5)
    ] * 2
    assert not run_dir.progress.exists()
