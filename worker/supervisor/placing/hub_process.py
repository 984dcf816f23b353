"""Downloads from the hub: `python -m worker.supervisor.placing.hub_process PARENT_PID REQUEST`. Started by hub.py.

The request is one JSON argument, and the response is one line of JSON on stdout. The hub's libraries read environment
variables such as the token; these arrive on stdin, where no other process can see them.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from contracts.failure import Failure, FailureReason
from contracts.run.run_dir import write_model
from processes.parent import die_with_parent
from processes.privacy import keep_private
from worker.supervisor.placing.hub import (
    DownloadSize,
    HubAnswer,
    HubProblem,
    HubRequest,
    ModelRequest,
)
from worker.supervisor.placing.hub_client import use_checked_client
from worker.supervisor.placing.hub_dataset import (
    NoRevision,
    causes_of,
    concerns_files,
    download_dataset,
    find_problem,
    is_disk_full,
)
from worker.supervisor.placing.hub_limits import require_space

_REASONS: dict[HubProblem | None, FailureReason] = {
    HubProblem.MEMORY: FailureReason.OOM_HOST,
    HubProblem.UNREADABLE: FailureReason.DATASET_INVALID,
}
"""How a job fails because of a dataset; otherwise with `dataset_not_found`."""
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


def run(request: HubRequest) -> HubAnswer:
    """Run a request and return its result; any error becomes a typed failure."""
    try:
        _check_revision(request)
        use_checked_client()
        if isinstance(request, ModelRequest):
            return download_model(request)
        return download_dataset(request)
    except Exception as error:  # noqa: BLE001  # outermost handler: the hub's libraries raise many kinds of errors
        if isinstance(request, ModelRequest):
            problem, cause = _find_model_problem(error)
            return HubAnswer(failure=_failure(request, cause, problem), problem=problem)
        problem = find_problem(error)
        return HubAnswer(failure=_failure(request, error, problem), problem=problem)


def _find_model_problem(error: Exception) -> tuple[HubProblem | None, BaseException]:
    """Return why a model cannot be downloaded, if it is a known cause, and the error that says it.

    The hub's library hides it behind another error when it determines the size of the files.
    """
    from huggingface_hub.errors import (  # noqa: PLC0415  # slow import
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    kinds = {  # a gated repository is also one that is not found
        GatedRepoError: HubProblem.GATED,
        RevisionNotFoundError: HubProblem.REVISION_NOT_FOUND,
        NoRevision: HubProblem.REVISION_NOT_FOUND,
        RepositoryNotFoundError: HubProblem.NOT_FOUND,
        HFValidationError: HubProblem.NOT_FOUND,
    }
    for cause in causes_of(error):
        for kind, problem in kinds.items():
            if isinstance(cause, kind):
                return problem, cause
    return None, error


def _check_revision(request: HubRequest) -> None:
    """Raise NoRevision for a name that git does not allow: the hub's cache uses it as a path."""
    revision = request.revision if isinstance(request, ModelRequest) else request.source.revision
    if revision is not None and ".." in revision:
        raise NoRevision(f"{revision!r} is not a commit, tag or branch")


def _failure(request: HubRequest, error: BaseException, problem: HubProblem | None) -> Failure:
    described = _without_token(_describe(error))[:2000]
    if is_disk_full(error):
        return Failure(reason=FailureReason.DISK_FULL, detail=described)
    name = request.name if isinstance(request, ModelRequest) else request.source.hub
    reason = (
        FailureReason.MODEL_NOT_FOUND
        if isinstance(request, ModelRequest)
        else _REASONS.get(problem, FailureReason.DATASET_NOT_FOUND)
    )
    return Failure(
        reason=reason,
        detail=f"{name}: the download from the hub failed ({described})",
    )


def _describe(error: BaseException) -> str:
    """Return the text of an error and of those that led to it: `datasets` gives the reason only in the latter."""
    errors = causes_of(error) if concerns_files(error) else [error]
    texts = dict.fromkeys(f"{type(each).__name__}: {str(each)[:1000]}" for each in errors)
    return "; caused by ".join(texts)


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
