"""Downloads a dataset from the hub and writes its rows as JSONL. Runs in the process of hub_process.py, because `datasets` may take much memory."""

import errno
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from contracts.run.run_dir import write_model
from worker.supervisor.placing.hub import DatasetRequest, DownloadSize, HubAnswer, HubProblem
from worker.supervisor.placing.hub_limits import confine, require_space

COPIES = 3
"""How much disk space a dataset needs, as a multiple of its files: the files, the tables that `datasets` makes from them, and the JSONL."""
_NO_SPLIT = (
    "BuilderConfig",
    "Percent slice boundaries",
    "Split name should match",
    "Unknown split",
    "Unrecognized instruction format",
    "corresponds to no data",
)
_UNREADABLE = (
    "DataFilesNotFoundError",
    "DatasetGenerationCastError",
    "DatasetGenerationError",
    "EmptyDatasetError",
)
"""Errors of `datasets` about the files of a dataset."""


class TooLarge(Exception):
    """The rows of a dataset are larger than allowed."""


class NoRevision(Exception):
    """The name of a revision is not possible."""


def download_dataset(request: DatasetRequest) -> HubAnswer:
    """Download a dataset at one commit and write its rows as JSONL.

    The tables that `datasets` makes are in the directory `request.tables`, which the caller deletes.
    """
    from huggingface_hub import HfApi  # noqa: PLC0415
    from huggingface_hub.constants import HF_HUB_CACHE  # noqa: PLC0415

    source = request.source
    info = HfApi().dataset_info(source.hub, revision=source.revision, files_metadata=True)
    commit = info.sha
    from datasets import load_dataset, load_dataset_builder  # noqa: PLC0415  # slow import, after the check that the dataset exists

    if request.memory_bytes is not None:
        confine(request.memory_bytes)
    tables = str(request.tables)
    builder = load_dataset_builder(source.hub, source.config, revision=commit, cache_dir=tables)
    files = builder.config.data_files or {}
    _require_splits(source.split, list(files))
    if request.size_file is not None:
        sizes = {each.rfilename: each.size or 0 for each in info.siblings or []}
        size = _sum_sizes(files, sizes)
        write_model(request.size_file, DownloadSize(bytes_total=size, bytes_cached=0))
        require_space(Path(HF_HUB_CACHE), COPIES * size)
    rows = load_dataset(
        source.hub, source.config, split=source.split, revision=commit, cache_dir=tables
    )
    temporary = request.target.with_name(request.target.name + ".tmp")
    written = 0
    with temporary.open("wb") as file:
        for row in rows:
            line = json.dumps(row, ensure_ascii=False, default=str).encode(errors="replace") + b"\n"
            written += len(line)
            if request.limit_bytes is not None and written > request.limit_bytes:
                raise TooLarge(f"the rows have more than {request.limit_bytes} bytes as JSONL")
            file.write(line)
    temporary.replace(request.target)
    return HubAnswer(commit=commit)


def find_problem(error: Exception) -> HubProblem | None:
    """Return the cause of a dataset's failure. `datasets` reports some causes only in the text of general errors."""
    from huggingface_hub.errors import (  # noqa: PLC0415  # slow import
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    text = str(error)
    is_no_split = isinstance(error, ValueError) and any(words in text for words in _NO_SPLIT)
    found = {
        HubProblem.TOO_LARGE: isinstance(error, TooLarge),
        HubProblem.MEMORY: any(_is_memory(each) for each in causes_of(error)),
        HubProblem.GATED: isinstance(error, GatedRepoError) or "is a gated dataset" in text,
        HubProblem.HAS_SCRIPT: "scripts are no longer supported" in text
        or "trust_remote_code" in text,
        HubProblem.SPLIT_NOT_FOUND: is_no_split,
        HubProblem.NOT_FOUND: isinstance(
            error, RepositoryNotFoundError | RevisionNotFoundError | NoRevision
        ),
        HubProblem.UNREADABLE: concerns_files(error),
    }
    return next((problem for problem, is_it in found.items() if is_it), None)


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or "Cannot allocate memory" in str(error)


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and the errors that led to it."""
    seen: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and found not in seen:
        seen.append(found)
        yield found
        found = found.__cause__ or found.__context__


def is_disk_full(error: BaseException) -> bool:
    """Return whether a full disk has led to an error; `datasets` reports it as another error."""
    return any(
        isinstance(each, OSError) and each.errno in {errno.ENOSPC, errno.EDQUOT}
        for each in causes_of(error)
    )


def concerns_files(error: BaseException) -> bool:
    """Return whether the files of a dataset are the reason of an error."""
    kind = type(error)
    return (
        kind.__name__ in _UNREADABLE
        or kind.__module__.startswith("pyarrow")
        or "Data files don't belong to" in str(error)
    )


def _require_splits(split: str, known: Sequence[object]) -> None:
    """Raise ValueError before the download if the split has no valid form, or names a split that has no files.

    `known`: the names of the splits with files; empty if they are not known.
    """
    from datasets import ReadInstruction  # noqa: PLC0415

    ReadInstruction.from_spec(split)
    names = {part.partition("[")[0].strip() for part in split.split("+")}
    unknown = names - {str(each) for each in known} - {"all"}
    if known and unknown:
        listed = sorted(str(each) for each in known)
        raise ValueError(f"Unknown split {min(unknown)!r}. Should be one of {listed}.")


def _sum_sizes(data_files: Mapping[str, Sequence[str]], sizes: Mapping[str, int]) -> int:
    """Return the size of the files of all splits. Each path is `hf://datasets/OWNER/NAME@COMMIT/FILE`."""
    paths = {
        path.partition("@")[2].partition("/")[2] for split in data_files.values() for path in split
    }
    return sum(max(0, sizes.get(path, 0)) for path in paths)
