"""Counts the tokens of a dataset, in a child process with resource limits and no secrets."""

import errno
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from contracts.errands.errand import MOST_RESULT_BYTES, ErrandOutcome, ErrandProgress
from contracts.errands.measurement import MeasureRequest, MeasureTask
from contracts.errands.reason import ErrandReason
from worker.settings import Settings
from worker.supervisor.errands.program import (
    descriptor_path,
    failed,
    find_model,
    run_program,
)
from worker.supervisor.host.models.model_files import identify
from worker.supervisor.placing.models import PlacingFailed

SPARE_SECONDS = 120
"""Time to load the tokenizer, find the rows and finish the last batch, in addition to the time for measuring."""
MEMORY_BYTES = 6 * 1024**3
"""Limit on the process's address space, most of which libraries only reserve; it uses about 250 MB, and 50 bytes per row."""
_PROGRAM = "worker.training.measure"

Pulse = Callable[[ErrandProgress | None], object]
Download = Callable[[Path], None]
"""Writes the dataset to a path."""


def run_measurement(
    request: MeasureRequest,
    download: Download,
    settings: Settings,
    environ: Mapping[str, str],
    pulse: Pulse,
) -> ErrandOutcome:
    """Return the token counts or the failure. Calls pulse regularly with the progress; kills the process if pulse raises."""
    try:
        model = find_model(request.model, None, settings, environ)
    except PlacingFailed as error:
        return failed(ErrandReason.MODEL_REFUSED, error.failure.detail)
    identity = None if model is None else identify(model.path)
    if model is None or identity is None:
        return failed(ErrandReason.MODEL_NOT_FOUND, f"{request.model} is not on this worker")
    try:
        # The file has no name, so nothing is left behind if this worker is killed.
        with (
            tempfile.TemporaryFile(dir=settings.work_dir) as data,
            tempfile.TemporaryDirectory() as directory,
        ):
            download(descriptor_path(data))
            progress = Path(directory) / "progress.json"
            task = MeasureTask(
                data=descriptor_path(data),
                model=model.path,
                tokenizer=identity,
                progress=progress,
                seconds=settings.measure_seconds,
                cpu_seconds=settings.measure_seconds + SPARE_SECONDS,
                memory_bytes=MEMORY_BYTES,
                output_bytes=MOST_RESULT_BYTES,
            )
            outcome = run_program(
                _PROGRAM,
                task,
                environ,
                lambda: pulse(_read_progress(progress)),
                # On a busy host, the process gets less than one processor.
                seconds=2 * task.cpu_seconds,
                limit=f"at most {task.cpu_seconds} seconds are allowed",
                descriptors=[data.fileno()],
            )
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return failed(ErrandReason.DISK_FULL, str(error))
        raise
    if outcome.failure is None and identify(model.path) != identity:
        return failed(ErrandReason.CRASHED, "the model's files changed during the measurement")
    return outcome


def _read_progress(path: Path) -> ErrandProgress | None:
    try:
        return ErrandProgress.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
