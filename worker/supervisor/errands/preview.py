"""Renders rows for a preview, in a child process with resource limits and no secrets: the chat template is untrusted code."""

from collections.abc import Callable, Mapping

from contracts.errands.errand import (
    MOST_RESULT_BYTES,
    ErrandOutcome,
    PreviewedLine,
    PreviewRequest,
    PreviewTask,
)
from contracts.errands.reason import ErrandReason
from worker.settings import Settings
from worker.supervisor.errands.program import failed, find_model, run_program
from worker.supervisor.placing.models import PlacingFailed

SECONDS = 120
"""Time limit of the process. It takes about two seconds, mostly for imports."""
CPU_SECONDS = 60
MEMORY_BYTES = 4 * 1024**3
"""Limit on the process's address space, most of which the tokenizer takes; it uses about 250 MB of memory."""
_PROGRAM = "worker.training.preview"


def run_preview(
    request: PreviewRequest,
    rows: Callable[[], list[PreviewedLine]],
    settings: Settings,
    environ: Mapping[str, str],
    pulse: Callable[[], object],
) -> ErrandOutcome:
    """Return the preview or the failure. Calls pulse regularly; kills the process if pulse raises. `rows` fetches the rows."""
    try:
        model = find_model(request.model, request.revision, settings, environ)
    except PlacingFailed as error:
        return failed(ErrandReason.MODEL_REFUSED, error.failure.detail)
    if model is None:
        at = "" if request.revision is None else f" at revision {request.revision}"
        return failed(ErrandReason.MODEL_NOT_FOUND, f"{request.model}{at} is not on this worker")
    task = PreviewTask(
        rows=rows(),
        model=model.path,
        max_length=request.max_length,
        seconds=CPU_SECONDS,
        memory_bytes=MEMORY_BYTES,
        output_bytes=MOST_RESULT_BYTES,
    )
    return render(task, environ, pulse)


def render(
    task: PreviewTask,
    environ: Mapping[str, str],
    pulse: Callable[[], object],
    seconds: float = SECONDS,
) -> ErrandOutcome:
    """Run the program that renders rows."""
    limit = f"at most {CPU_SECONDS} seconds are allowed"
    return run_program(_PROGRAM, task, environ, pulse, seconds=seconds, limit=limit)
