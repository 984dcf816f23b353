"""Several training datasets: which rows are held out, and how often each of the others is trained."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.failure import FailureReason
from contracts.run.run_dir import RunDir
from tests.tiny_model import write_rows
from tests.worker.training.conftest import small_spec
from worker.training.data.cache.cache import Cache
from worker.training.data.mixing import describe_mixture
from worker.training.data.preparation import prepare
from worker.training.data.prepared import Data
from worker.training.data.rendering.template import Template
from worker.training.errors import TrainingError

NAMES = ("ds_0000000a", "ds_0000000b", "ds_0000000c")


def rows_of(mark: str, count: int) -> list[dict[str, str]]:
    return [{"prompt": f"{mark} {n}", "completion": f"{mark}{n}"} for n in range(count)]


def spec_of(weights: tuple[float, ...], *, seed: int = 42, eval_size: Any = 6) -> Any:
    train = [
        {"dataset": name, "weight": weight} for name, weight in zip(NAMES, weights, strict=False)
    ]
    return small_spec(
        dataset={"train": train, "eval_size": eval_size},
        training={"per_device_batch_size": 1, "gradient_accumulation_steps": 1, "seed": seed},
    )


def prepared(
    path: Path, tokenizer: Any, spec: Any, *datasets: list[Any], cache: Cache | None = None
) -> Data:
    run_dir = RunDir(path)
    for number, rows in enumerate(datasets):
        write_rows(run_dir.mixed_data(number), rows)
    return prepare(run_dir, spec, tokenizer, Template(tokenizer), cache=cache)


def answers(samples: Any, tokenizer: Any) -> Counter[str]:
    return Counter(
        tokenizer.decode(sample.ids[sample.supervised]).removesuffix("<|im_end|>")
        for sample in samples
    )


def test_each_row_is_trained_as_often_as_the_weight_of_its_dataset_says(
    tmp_path: Path, tokenizer: Any
) -> None:
    spec = spec_of((2, 0.5, 1.5))

    data = prepared(tmp_path, tokenizer, spec, rows_of("a", 11), rows_of("b", 21), rows_of("c", 31))

    used, held = answers(data.train, tokenizer), answers(data.evaluation, tokenizer)
    assert Counter(answer[0] for answer in held) == {"a": 1, "b": 2, "c": 3}
    times = {mark: Counter(n for answer, n in used.items() if answer[0] == mark) for mark in "abc"}
    assert times == {"a": {2: 10}, "b": {1: 10}, "c": {1: 14, 2: 14}}
    assert not set(used) & set(held)
    assert [(each.rows, each.used_rows) for each in describe_mixture(data.parts, spec)] == [
        (10, 20),
        (10, 10),
        (28, 42),
    ]
    assert data.facts.train.rows == 48
    assert data.longest == max(len(sample) for sample in (*data.train, *data.evaluation))


def test_the_seed_selects_the_rows_that_a_weight_uses(tmp_path: Path, tokenizer: Any) -> None:
    rows = (rows_of("a", 30), rows_of("b", 30))

    first, same, other = (
        prepared(tmp_path / str(n), tokenizer, spec_of((0.5, 1.5), seed=seed), *rows)
        for n, seed in enumerate((1, 1, 2))
    )

    assert (first.digest, len(first.train)) == (same.digest, len(same.train))
    assert answers(first.train, tokenizer) == answers(same.train, tokenizer)
    assert answers(first.train, tokenizer) != answers(other.train, tokenizer)


def test_a_repeated_row_is_tokenized_once(tmp_path: Path, tokenizer: Any) -> None:
    data = prepared(tmp_path, tokenizer, spec_of((3, 1)), rows_of("a", 8), rows_of("b", 8))

    one, two, three = data.train[0], data.train[1], data.train[2]
    assert np.shares_memory(one.ids, two.ids)
    assert np.shares_memory(one.ids, three.ids)
    assert not np.shares_memory(one.ids, data.train[3].ids)


def test_documents_of_different_datasets_are_not_joined(tmp_path: Path, tokenizer: Any) -> None:
    spec = spec_of((2, 1), eval_size=2)

    data = prepared(
        tmp_path, tokenizer, spec, [{"text": f"{n}"} for n in range(4)], rows_of("b", 4)
    )

    assert data.parts == (1, 3)
    texts = [tokenizer.decode(sample.ids) for sample in data.train]
    assert texts[0] == texts[1]
    assert all("b" not in text for text in texts[:2])


def test_an_error_names_the_dataset_and_its_line(tmp_path: Path, tokenizer: Any) -> None:
    rows = [*rows_of("b", 3), {"prompt": "no answer"}]

    with pytest.raises(TrainingError) as caught:
        prepared(tmp_path, tokenizer, spec_of((1, 1)), rows_of("a", 8), rows)

    assert caught.value.failure.reason is FailureReason.DATASET_INVALID
    assert "dataset.train[1].dataset (ds_0000000b): line 4: " in caught.value.failure.detail


def test_no_dataset_may_lose_all_its_rows_to_the_evaluation(tmp_path: Path, tokenizer: Any) -> None:
    rows = (rows_of("a", 1), rows_of("b", 7))
    data = prepared(tmp_path / "1", tokenizer, spec_of((1, 1), eval_size=6), *rows)
    assert answers(data.train, tokenizer).keys() >= {"a0"}

    with pytest.raises(TrainingError) as caught:
        prepared(tmp_path / "2", tokenizer, spec_of((1, 1), eval_size=7), *rows)

    assert caught.value.failure.reason is FailureReason.DATASET_TOO_SMALL
    assert "holding out 7 of 1 and 7 rows" in caught.value.failure.detail


def test_cached_tokens_are_found_only_for_the_same_weights(
    tmp_path: Path, tokenizer: Any, tiny_model: Path
) -> None:
    cache = Cache(tmp_path / "token_cache", 2**30)
    path = tmp_path / "run"
    path.mkdir()
    RunDir(path).model.symlink_to(tiny_model)
    rows = (rows_of("a", 10), rows_of("b", 10))

    made, found, other = (
        prepared(path, tokenizer, spec_of(weights), *rows, cache=cache)
        for weights in ((2, 0.5), (2, 0.5), (2, 1))
    )

    assert "cache" not in made.source
    assert "read from the cache" in found.source
    assert "cache" not in other.source
    assert found.digest == made.digest != other.digest
    assert answers(found.train, tokenizer) == answers(made.train, tokenizer)
