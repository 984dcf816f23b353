"""Downloads from the hub: `python -m worker.supervisor.placing.hub_process PARENT_PID REQUEST`. Started by hub.py.

The request is one JSON argument, and the response is one line of JSON on stdout. The hub's libraries read environment
variables such as the token; these arrive on stdin, where no other process can see them.
"""

import errno
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from contracts.failure import Failure, FailureReason
from contracts.run.run_dir import write_model
from processes.parent import die_with_parent
from processes.privacy import keep_private
from worker.supervisor.placing.hub import (
    DatasetRequest,
    DownloadSize,
    HubAnswer,
    HubProblem,
    HubRequest,
    ModelRequest,
)

_NO_SPLIT = ("Unknown split", "BuilderConfig", "Unrecognized instruction format")
COPIES = 3
"""Disk space that a dataset needs, as a multiple of the size of its files: the files, the tables that `datasets` makes from them, and the JSONL."""
ALLOWED = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
)
"""Files to download from a model's repository: configuration, tokenizer, and weights in a format that cannot contain code."""


class TooLarge(Exception):
    """The rows of a dataset are larger than allowed."""


def download_model(request: ModelRequest) -> HubAnswer:
    """Download the allowed files of a model into the hub's cache; return the directory and its commit."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415  # slow import, not needed for a dataset
    from huggingface_hub.constants import HF_HUB_CACHE  # noqa: PLC0415

    chosen: dict[str, Any] = {
        "revision": request.revision,
        "allow_patterns": list(ALLOWED),
        "ignore_patterns": ["*/*"],
    }
    if request.size_file is not None:
        files = snapshot_download(request.name, dry_run=True, **chosen)
        size = DownloadSize(
            bytes_total=sum(each.file_size for each in files),
            bytes_cached=sum(each.file_size for each in files if not each.will_download),
        )
        write_model(request.size_file, size)
        require_space(Path(HF_HUB_CACHE), size.bytes_total - size.bytes_cached)
    path = Path(snapshot_download(request.name, **chosen))
    if not any(path.glob("*.safetensors")) or not (path / "config.json").exists():
        return HubAnswer(
            failure=Failure(
                reason=FailureReason.MODEL_REFUSED,
                detail=f"{request.name} at {path.name} lacks config.json or safetensors weights.",
            )
        )
    return HubAnswer(commit=path.name, path=path)


def download_dataset(request: DatasetRequest) -> HubAnswer:
    """Download a dataset at one commit and write its rows as JSONL."""
    from huggingface_hub import HfApi  # noqa: PLC0415
    from huggingface_hub.constants import HF_HUB_CACHE  # noqa: PLC0415

    source = request.source
    info = HfApi().dataset_info(source.hub, revision=source.revision, files_metadata=True)
    commit = info.sha
    from datasets import load_dataset, load_dataset_builder  # noqa: PLC0415  # slow import, after the check that the dataset exists

    if request.size_file is not None:
        sizes = {each.rfilename: each.size or 0 for each in info.siblings or []}
        files = load_dataset_builder(source.hub, source.config, revision=commit).config.data_files
        size = _sum_sizes(files or {}, sizes)
        write_model(request.size_file, DownloadSize(bytes_total=size, bytes_cached=0))
        require_space(Path(HF_HUB_CACHE), COPIES * size)
    rows = load_dataset(source.hub, source.config, split=source.split, revision=commit)
    temporary = request.target.with_name(request.target.name + ".tmp")
    written = 0
    with temporary.open("wb") as file:
        for row in rows:
            line = json.dumps(row, ensure_ascii=False, default=str).encode(errors="replace") + b"\n"
            written += len(line)
            if request.limit_bytes is not None and written > request.limit_bytes:
                raise TooLarge(f"as JSONL, the rows take up more than {request.limit_bytes} bytes")
            file.write(line)
    temporary.replace(request.target)
    return HubAnswer(commit=commit)


def _sum_sizes(data_files: Mapping[str, Sequence[str]], sizes: Mapping[str, int]) -> int:
    """Return the size of the files of all splits. Each path is `hf://datasets/OWNER/NAME@COMMIT/FILE`."""
    paths = {
        path.partition("@")[2].partition("/")[2] for split in data_files.values() for path in split
    }
    return sum(sizes.get(path, 0) for path in paths)


def require_space(directory: Path, needed_bytes: int) -> None:
    """Raise OSError with ENOSPC if the disk of this directory has less free space than a download needs."""
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        what = (
            f"the download needs {needed_bytes} bytes, but only {free} are free in {existing}. "
            f"Free at least {needed_bytes - free} more bytes"
        )
        raise OSError(errno.ENOSPC, what)


def run(request: HubRequest) -> HubAnswer:
    """Run a request and return its result; any error becomes a typed failure."""
    try:
        if isinstance(request, ModelRequest):
            return download_model(request)
        return download_dataset(request)
    except Exception as error:  # noqa: BLE001  # outermost handler: the hub's libraries raise many kinds of errors
        problem = _problem(error) if isinstance(request, DatasetRequest) else None
        return HubAnswer(failure=_failure(request, error), problem=problem)


def _problem(error: Exception) -> HubProblem | None:
    """Return the cause of a dataset's failure. `datasets` reports some causes only in the text of general errors."""
    from huggingface_hub.errors import (  # noqa: PLC0415  # slow import
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    text = str(error)
    if isinstance(error, TooLarge):
        return HubProblem.TOO_LARGE
    if isinstance(error, GatedRepoError) or "is a gated dataset" in text:
        return HubProblem.GATED
    if "scripts are no longer supported" in text or "trust_remote_code" in text:
        return HubProblem.HAS_SCRIPT
    if isinstance(error, ValueError) and any(words in text for words in _NO_SPLIT):
        return HubProblem.SPLIT_NOT_FOUND
    if isinstance(error, RepositoryNotFoundError | RevisionNotFoundError):
        return HubProblem.NOT_FOUND
    return None


def _failure(request: HubRequest, error: Exception) -> Failure:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return Failure(reason=FailureReason.DISK_FULL, detail=_without_token(str(error)))
    name = request.name if isinstance(request, ModelRequest) else request.source.hub
    reason = (
        FailureReason.MODEL_NOT_FOUND
        if isinstance(request, ModelRequest)
        else FailureReason.DATASET_NOT_FOUND
    )
    return Failure(
        reason=reason,
        detail=f"{name}: the download from the hub failed ({type(error).__name__}: {_without_token(str(error))[:2000]})",
    )


def _without_token(text: str) -> str:
    """Return an error's text without the hub's token, in case a library or a server repeats it."""
    from huggingface_hub import get_token  # noqa: PLC0415  # slow import

    token = get_token()
    return text.replace(token, "***") if token else text


def main(arguments: list[str]) -> None:
    """Run the request and write the response to stdout. All output of the hub's libraries goes to stderr."""
    parent_pid, text = int(arguments[0]), arguments[1]
    keep_private(os.environ)
    die_with_parent(parent_pid)
    os.environ.update(json.load(sys.stdin))
    stdout = os.dup(1)
    os.dup2(2, 1)
    request: HubRequest = TypeAdapter[HubRequest](HubRequest).validate_json(text)
    with os.fdopen(stdout, "w") as out:
        out.write(run(request).model_dump_json())


if __name__ == "__main__":
    main(sys.argv[1:])
