"""Data: the training and evaluation samples of a run, prepared from the files of its run directory."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from contracts.data_spec import is_from_hub
from contracts.dataset.conversation import Parsed
from contracts.dataset.features import FeatureCounter
from contracts.failure import FailureReason
from contracts.job import JobSpec, Phase
from contracts.run.run_dir import RunDir
from worker.training.data.arrays import Writer
from worker.training.data.bounds import Bounds
from worker.training.data.cache.cache import Cache
from worker.training.data.cache.key import FileState, find_key, read_state
from worker.training.data.facts import measure_rows
from worker.training.data.mixing import hold_out, repeat_samples, select_rows
from worker.training.data.prepared import EVALUATION, TRAIN, Data, digest
from worker.training.data.rendering.template import Template
from worker.training.data.rows import Row, read_rows
from worker.training.data.tokenization.helpers import Helpers
from worker.training.data.tokenization.samples import tokenize
from worker.training.errors import TrainingError
from worker.training.rundir.counter import RowCounter

_NO_COUNTER = RowCounter()


def prepare(
    run_dir: RunDir,
    spec: JobSpec,
    tokenizer: Any,
    template: Template,
    *,
    counter: RowCounter = _NO_COUNTER,
    bounds: Bounds | None = None,
    cache: Cache | None = None,
    helpers: Helpers | None = None,
    loaded_from: FileState | None = None,
) -> Data:
    """Read, split, render and tokenize the rows, or read their tokens from the cache.

    Raises TrainingError for unusable rows or too few of them. `bounds` limits the template; an error raised by its `check`
    stops the preparation within about a second. Closes `helpers`.
    `loaded_from`: the state of the model's files before the tokenizer was loaded.
    """
    bounds = bounds or Bounds()
    begun = time.monotonic()

    def make(directory: Path | None) -> Data:
        return _make(
            run_dir,
            spec,
            tokenizer,
            template,
            counter=counter,
            bounds=bounds,
            directory=directory,
            helpers=helpers,
        )

    def is_current() -> bool:
        return loaded_from is None or read_state(run_dir.model) == loaded_from

    with contextlib.closing(helpers) if helpers else contextlib.nullcontext():
        if cache is None:
            data, source = make(None), "tokenized"
        else:
            key = partial(find_key, run_dir, spec, tokenizer, template, bounds)
            data, source = cache.find_or_make(key, make, bounds, is_current)
        if helpers is not None and helpers.are_running and not is_current():
            raise TrainingError(
                FailureReason.MODEL_REFUSED,
                "the files of the model's tokenizer changed while the rows were tokenized. Submit the job again",
            )
    data = repeat_samples(data, spec)
    _check_amounts(data, spec)
    return replace(data, source=f"{source} in {time.monotonic() - begun:.1f} s")


def _make(
    run_dir: RunDir,
    spec: JobSpec,
    tokenizer: Any,
    template: Template,
    *,
    counter: RowCounter,
    bounds: Bounds,
    directory: Path | None,
    helpers: Helpers | None,
) -> Data:
    """Make the samples, in files of `directory` if there is one."""
    preference = spec.dataset.preference
    parts = [
        read_rows(path, bounds, preference, name, is_from_hub=is_from_hub(part.dataset))
        for (path, name), part in zip(
            _training_files(run_dir, spec), spec.dataset.parts, strict=True
        )
    ]
    if run_dir.eval_data.exists():
        eval_rows = read_rows(
            run_dir.eval_data, bounds, preference, is_from_hub=is_from_hub(spec.dataset.eval)
        )
    else:
        parts, eval_rows = hold_out(parts, spec)
    parts = select_rows(parts, spec)
    train_rows = [row for rows in parts for row in rows]
    total = len(train_rows) + len(eval_rows)
    with counter.counting(Phase.TOKENIZING, total, total) as count:
        tokenize_rows = partial(
            tokenize,
            tokenizer=tokenizer,
            template=template,
            max_length=spec.training.max_length,
            bounds=bounds,
            count=count,
            helpers=helpers,
        )
        writer, eval_writer = (
            Writer(directory and directory / name) for name in (TRAIN, EVALUATION)
        )
        tokenized = [tokenize_rows(rows, writer=writer) for rows in parts]
        evaluated = tokenize_rows(eval_rows, writer=eval_writer)
    train, evaluation = writer.finish(), eval_writer.finish()
    return Data(
        train=train,
        evaluation=evaluation,
        parts=tuple(each.samples for each in tokenized),
        truncated_rows=sum(each.truncated for each in (*tokenized, evaluated)),
        dropped_rows=sum(each.dropped for each in (*tokenized, evaluated)),
        facts=measure_rows(_contents(train_rows, bounds), _contents(eval_rows, bounds)),
        unwritten=_find_unwritten((*train_rows, *eval_rows), template, bounds),
        digest=digest((*train, *evaluation)),
    )


def _training_files(run_dir: RunDir, spec: JobSpec) -> list[tuple[Path, str | None]]:
    """Return the file of each training dataset, and the name by which error messages refer to it."""
    if not spec.dataset.is_mixed:
        return [(run_dir.train_data, None)]
    return [
        (run_dir.mixed_data(number), f"{spec.dataset.param_of(number)} ({each.name})")
        for number, each in enumerate(spec.dataset.parts)
    ]


def _contents(rows: Sequence[Row], bounds: Bounds) -> Iterator[Parsed]:
    for row in rows:
        bounds.poll()
        yield row.content


def _find_unwritten(rows: Sequence[Row], template: Template, bounds: Bounds) -> dict[str, int]:
    counter = FeatureCounter()
    for row in rows:
        counter.add(row.content)
    features = counter.features()
    used = {
        "tools": features.tools,
        "tool_calls": features.tool_calls,
        "reasoning_content": features.reasoning_content,
    }
    if not any(used.values()):
        return {}
    with bounds.prepared():
        facts = bounds.call(lambda: template.facts)
    return {name: count for name, count in used.items() if count and not getattr(facts, name)}


def _check_amounts(data: Data, spec: JobSpec) -> None:
    batch = spec.effective_batch_size
    evidence: dict[str, str | int | float | bool | None] = {
        "train_rows": len(data.train),
        "eval_rows": len(data.evaluation),
        "dropped_rows": data.dropped_rows,
        "effective_batch_size": batch,
    }
    dropped = (
        f" ({data.dropped_rows} rows were dropped: no answer was left within training.max_length, or the answers are empty and "
        "the chat template writes no token after them)"
    )
    because = dropped if data.dropped_rows else ""
    if len(data.train) < batch:
        raise TrainingError(
            FailureReason.DATASET_TOO_SMALL,
            f"one update needs {batch} training rows (training.per_device_batch_size × "
            f"training.gradient_accumulation_steps), but there are only {len(data.train)}{because}",
            evidence=evidence,
        )
    if not data.evaluation:
        raise TrainingError(
            FailureReason.DATASET_TOO_SMALL,
            f"no rows are left for evaluation{because}",
            evidence=evidence,
        )
