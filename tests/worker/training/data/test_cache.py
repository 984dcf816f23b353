"""Runs with the same rows, tokenizer, template and settings share cached tokens, which equal newly computed ones."""

import contextlib
import copy
import errno
import os
import resource
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.dataset.facts import DataFacts, RowFacts
from contracts.run.run_dir import RunDir
from tests.tiny_model import make_rows, write_rows
from tests.worker.training.conftest import small_spec
from worker.training.data.arrays import Sample, Writer
from worker.training.data.bounds import Bounds
from worker.training.data.cache.cache import Cache
from worker.training.data.cache.entries import Entries
from worker.training.data.cache.key import read_state
from worker.training.data.preparation import prepare
from worker.training.data.prepared import EVALUATION, TRAIN, Data, digest
from worker.training.data.rendering.template import Template
from worker.training.errors import TrainingError

READ = "read from the cache"
ROWS = make_rows(20)
KEY = "0" * 64


@pytest.fixture
def run_dir(tmp_path: Path, tiny_model: Path) -> RunDir:
    found = RunDir(tmp_path / "run")
    write_rows(found.train_data, ROWS)
    shutil.copytree(tiny_model, found.model)
    return found


@pytest.fixture
def tokenizer(tokenizer: Any) -> Any:
    """A copy, because these tests change it."""
    return copy.deepcopy(tokenizer)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "token_cache", 2**30)


def prepared(
    run_dir: RunDir, tokenizer: Any, cache: Cache | None, *, seed: int = 1, **changes: Any
) -> Data:
    one_by_one = {"per_device_batch_size": 1, "gradient_accumulation_steps": 1, "seed": seed}
    training = one_by_one | changes.pop("training", {})
    spec = small_spec(training=training, **changes)
    return prepare(run_dir, spec, tokenizer, Template(tokenizer), cache=cache)


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def assert_equal(found: Data, expected: Data) -> None:
    for name in ("train", "evaluation"):
        pairs = zip(getattr(found, name), getattr(expected, name), strict=True)
        for one, other in pairs:
            assert np.array_equal(one.ids, other.ids)
            assert np.array_equal(one.supervised, other.supervised)
    for name in ("truncated_rows", "dropped_rows", "facts", "unwritten", "digest", "longest"):
        assert getattr(found, name) == getattr(expected, name)


def test_a_second_run_reads_the_tokens_of_the_first_from_the_cache(
    run_dir: RunDir, tokenizer: Any, cache: Cache
) -> None:
    alone = prepared(run_dir, tokenizer, None)
    made = prepared(run_dir, tokenizer, cache)
    read = prepared(run_dir, tokenizer, cache)

    assert made.source.startswith("tokenized in ")
    assert read.source.startswith(READ)
    assert_equal(made, alone)
    assert_equal(read, alone)


def test_a_change_of_the_rows_settings_tokenizer_or_template_invalidates_cached_tokens(
    run_dir: RunDir, tokenizer: Any, cache: Cache
) -> None:
    def is_read(**changes: Any) -> bool:
        return prepared(run_dir, tokenizer, cache, **changes).source.startswith(READ)

    assert not is_read()
    assert is_read()
    assert not is_read(seed=2)
    assert not is_read(training={"max_length": 64})
    assert not is_read(dataset={"train": "ds_00000000", "eval_size": 5})
    write_rows(run_dir.eval_data, ROWS[:2])
    assert not is_read()
    assert is_read(seed=2)  # the seed does not split rows that come with their own evaluation set
    append(run_dir.model / "tokenizer_config.json", " ")
    assert not is_read()
    (run_dir.model / "weights.safetensors").write_bytes(b"others")
    (run_dir.model / ".git").mkdir()
    (run_dir.model / ".git" / "index").write_bytes(b"others")
    assert is_read()
    write_rows(run_dir.train_data, ROWS[1:])
    assert not is_read()
    tokenizer.chat_template += " "
    assert not is_read()


def test_tokens_that_contain_the_time_are_not_cached(
    run_dir: RunDir, tokenizer: Any, cache: Cache
) -> None:
    tokenizer.chat_template += "{% set form = '%f' %}{{ strftime_now(form) }}"

    assert "depends on the time" in prepared(run_dir, tokenizer, cache).source
    assert "depends on the time" in prepared(run_dir, tokenizer, cache).source


def test_tokens_are_not_kept_if_the_tokenizers_files_have_changed_since_it_was_loaded(
    run_dir: RunDir, tokenizer: Any, cache: Cache, tmp_path: Path
) -> None:
    loaded_from = read_state(run_dir.model)
    append(run_dir.model / "tokenizer_config.json", " ")
    spec = small_spec()

    data = prepare(
        run_dir, spec, tokenizer, Template(tokenizer), cache=cache, loaded_from=loaded_from
    )

    assert "not cached (the model's files have changed" in data.source
    assert list(tmp_path.glob("token_cache/*/figures.json")) == []


@pytest.mark.parametrize(
    "damage", ["another token", "one byte less", "no figures", "other figures", "other digest"]
)
def test_damaged_cached_tokens_are_replaced(
    run_dir: RunDir, tokenizer: Any, cache: Cache, tmp_path: Path, damage: str
) -> None:
    expected = prepared(run_dir, tokenizer, cache)
    (ids,) = tmp_path.glob("token_cache/*/train/ids")
    (figures,) = tmp_path.glob("token_cache/*/figures.json")
    # The first run has mapped the files, so write new ones.
    content = bytearray(ids.read_bytes())
    if damage == "another token":
        content[8] ^= 1
    elif damage == "one byte less":
        del content[-1]
    ids.unlink()
    ids.write_bytes(content)
    if damage == "no figures":
        figures.unlink()
    elif damage == "other figures":
        text = figures.read_text()
        assert '"truncated_rows": 0' in text
        figures.write_text(text.replace('"truncated_rows": 0', '"truncated_rows": 1'))
    elif damage == "other digest":
        figures.write_text(figures.read_text().replace('"digest": "', '"digest": "0'))

    again = prepared(run_dir, tokenizer, cache)

    assert again.source.startswith("tokenized in ")
    assert_equal(again, expected)
    assert prepared(run_dir, tokenizer, cache).source.startswith(READ)


def test_a_run_that_cannot_use_its_rows_caches_nothing(
    run_dir: RunDir, tokenizer: Any, cache: Cache, tmp_path: Path
) -> None:
    append(run_dir.train_data, "{broken\n")

    with pytest.raises(TrainingError):
        prepared(run_dir, tokenizer, cache)

    assert [path.name for path in (tmp_path / "token_cache").iterdir() if path.is_dir()] == []


@contextlib.contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """Make every write beyond this file size fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("limit", [0, 1000, 12_000])
def test_on_a_full_disk_the_samples_stay_in_memory(tmp_path: Path, limit: int) -> None:
    expected = [
        Sample(np.arange(length, dtype=np.int32), np.arange(length) % 3 == 1)
        for length in range(1, 80)
    ]
    writer = Writer(tmp_path / "samples")
    with file_size_limit(limit):
        for number, sample in enumerate(expected):
            writer.add(sample)
            if number % 7 == 0:
                writer.flush()
        samples = writer.finish()

    assert samples.problem is not None
    assert samples.problem.errno == errno.EFBIG
    assert len(samples) == len(expected)
    for one, other in zip(samples, expected, strict=True):
        assert np.array_equal(one.ids, other.ids)
        assert np.array_equal(one.supervised, other.supervised)


def test_a_run_on_a_full_disk_trains_without_the_cache(
    run_dir: RunDir, tokenizer: Any, cache: Cache, tmp_path: Path
) -> None:
    expected = prepared(run_dir, tokenizer, None)
    with file_size_limit(500):
        found = prepared(run_dir, tokenizer, cache)

    assert "not cached" in found.source
    assert_equal(found, expected)
    assert [path.name for path in (tmp_path / "token_cache").iterdir() if path.is_dir()] == []


def make(directory: Path | None) -> Data:
    """Return data with one sample per split; write about 10 KB to the directory."""
    assert directory is not None
    samples = []
    for name in (TRAIN, EVALUATION):
        writer = Writer(directory / name)
        writer.add(Sample(np.arange(1000, dtype=np.int32), np.ones(1000, dtype=np.bool_)))
        samples.append(writer.finish())
    one = RowFacts(rows=1, distinct_rows=1, distinct_answers=1, top_answer_rows=1)
    facts = DataFacts(train=one, evaluation=one, overlapping_rows=0, overlapping_rows_normalized=0)
    both = (*samples[0], *samples[1])
    return Data(samples[0], samples[1], (1,), 0, 0, facts, {}, digest(both))


def test_the_least_recently_used_tokens_are_deleted_first_but_stay_readable_while_in_use(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "token_cache"
    cache = Cache(directory, 40_000)

    def use(key: str) -> Data:
        return cache.find_or_make(lambda: key, make, Bounds())[0]

    first = use("first")
    for age, key in enumerate(("second", "third")):
        use(key)
        os.utime(directory / key, (age, age))
    os.utime(directory / "first", (5, 5))
    use("fourth")

    kept = {path.name for path in directory.iterdir() if path.is_dir()}
    assert kept == {"first", "third", "fourth"}
    Entries(directory, 0).delete("first")
    assert first.train[0].ids[999] == 999
    Cache(directory, 100).find_or_make(lambda: "large", make, Bounds())
    assert not any(path.is_dir() for path in directory.iterdir())


def test_tokens_that_alone_exceed_the_limit_are_not_kept_and_delete_no_others(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "token_cache"
    Cache(directory, 2**30).find_or_make(lambda: "large", make, Bounds())
    size = sum(path.stat().st_size for path in (directory / "large").rglob("*") if path.is_file())
    (directory / "small").mkdir()
    (directory / "small" / "tokens").write_bytes(b"x" * (size // 2))
    os.utime(directory / "small", (5, 5))

    Cache(directory, size - 1).find_or_make(lambda: "new", make, Bounds())

    assert {path.name for path in directory.iterdir() if path.is_dir()} == {"small"}


def test_concurrent_runs_that_need_the_same_tokens_compute_them_once(tmp_path: Path) -> None:
    directory = tmp_path / "token_cache"
    begun, finish = threading.Event(), threading.Event()
    sources: list[str] = []

    def make_slowly(path: Path | None) -> Data:
        begun.set()
        assert finish.wait(60)
        return make(path)

    def use() -> None:
        sources.append(Cache(directory, 2**30).find_or_make(lambda: KEY, make_slowly, Bounds())[1])

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert begun.wait(60)
    finish.set()
    for thread in threads:
        thread.join(60)

    assert sorted(sources) == [READ, READ, "tokenized"]


def test_a_run_that_waits_for_the_tokens_of_another_run_can_be_stopped(tmp_path: Path) -> None:
    class Stopped(Exception): ...

    def stop() -> None:
        raise Stopped

    directory = tmp_path / "token_cache"
    with Entries(directory, 2**30).locked(KEY, Bounds()) as is_locked:
        assert is_locked
        with pytest.raises(Stopped):
            Cache(directory, 2**30).find_or_make(lambda: KEY, make, Bounds(stop))
