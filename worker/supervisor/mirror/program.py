"""Sends an attempt's metrics to W&B: `python -m worker.supervisor.mirror.program PARENT_PID`. Started by mirror.py.

The request and the end of the attempt are lines on stdin; messages are lines on stdout. After the end, the process has a minute
to send the rest; if it cannot, it says so and ends. It follows the records through an open file, so it can read them after the run directory is deleted.
"""

import contextlib
import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from contracts.record import EvalRecord, MetricRecord, Record
from processes.parent import die_with_parent
from processes.privacy import keep_private
from worker.supervisor.mirror.mirror import DIRECTORIES, MirrorEnd, MirrorMessage, MirrorRequest
from worker.supervisor.mirror.run_dirs import remove_old
from worker.supervisor.reporting.records import Follow

POLL_SECONDS = 0.2
END_SECONDS = 60.0
INIT_SECONDS = 30.0
"""Time limit for the start of a run. It is well below END_SECONDS, so that W&B's own reason arrives also after a short attempt."""
KEY = "WANDB_API_KEY"
_TRAIN_NAMES = {"loss": "train_loss", "token_accuracy": "train_mean_token_accuracy"}
_EVALUATION_NAMES = {"loss": "valid_loss", "token_accuracy": "valid_mean_token_accuracy"}


class End:
    """Whether the attempt has ended, as a thread reads it from stdin."""

    def __init__(self, lines: IO[bytes], out: IO[str]) -> None:
        self.event = threading.Event()
        self.failed = True
        """True also if the supervisor has ended without saying how the attempt ended."""
        self._lines, self._out = lines, out
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(ValueError):
            self.failed = MirrorEnd.model_validate_json(self._lines.readline()).failed
        timer = threading.Timer(END_SECONDS, self._give_up)
        timer.daemon = True
        timer.start()
        self.event.set()

    def _give_up(self) -> None:
        reason = f"W&B did not accept the metrics within {END_SECONDS:.0f} seconds of the end"
        try:
            say(self._out, MirrorMessage(reason=reason))
        finally:  # even if the program has already closed its output
            os._exit(1)


def open_records(path: Path, end: End) -> IO[bytes] | None:
    """Open the records once the training program has created them; None if the attempt ended before."""
    while True:
        has_ended = end.event.is_set()
        with contextlib.suppress(FileNotFoundError):
            return path.open("rb")
        if has_ended:
            return None
        end.event.wait(POLL_SECONDS)


def mirror(request: MirrorRequest, end: End, records: IO[bytes], out: IO[str]) -> None:
    """Send the records to the run until the attempt has ended."""
    import wandb  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415  # optional, and slow to import

    digits = request.job_id.removeprefix("job_")
    run = wandb.init(
        project=request.run.project,
        entity=request.run.entity,
        name=request.run.name or f"ftjob-{digits}",
        tags=request.run.tags,
        id=request.job_id,
        resume="allow",
        config=request.config,
        settings=wandb.Settings(
            api_key=request.variables.get(KEY),
            console="off",
            silent=True,
            disable_code=True,
            disable_git=True,
            init_timeout=INIT_SECONDS,
            # Only the metrics leave this host, nothing about it.
            x_disable_machine_info=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
        ),
    )
    say(out, MirrorMessage(run=str(run.url or run.path)))
    follow = Follow(Path(f"/proc/self/fd/{records.fileno()}"))
    while True:
        has_ended = end.event.is_set()
        batch = follow.batch()
        for record in batch:
            values = values_of(record)
            if values:
                # W&B keeps the first values of a step, so the steps that a resumed attempt repeats are not shown twice.
                run.log(values, step=step_of(record))
        if batch:
            follow.acknowledge(batch[-1].seq)
        elif has_ended or follow.damage is not None:
            break
        else:
            end.event.wait(POLL_SECONDS)
    end.event.wait()
    run.finish(exit_code=int(end.failed))


def values_of(record: Record) -> dict[str, float]:
    """Return the values of a record under the names that the events of OpenAI's API have; empty if it has none."""
    if isinstance(record, MetricRecord):
        return {_TRAIN_NAMES.get(name, name): value for name, value in record.values.items()}
    if isinstance(record, EvalRecord):
        found = {"loss": record.loss, "token_accuracy": record.token_accuracy}
        return {_EVALUATION_NAMES[n]: value for n, value in found.items() if value is not None}
    return {}


def step_of(record: Record) -> int:
    """Return the step of a metric or an evaluation."""
    assert isinstance(record, MetricRecord | EvalRecord)  # noqa: S101  # others have no values
    return record.step


def say(out: IO[str], message: MirrorMessage) -> None:
    """Write a message to the supervisor."""
    with contextlib.suppress(OSError):  # the supervisor no longer listens
        out.write(message.model_dump_json() + "\n")
        out.flush()


def describe(error: BaseException, variables: Mapping[str, Any]) -> str:
    """Return an error's text without the key, in case a library or a server repeats it."""
    text = f"{type(error).__name__}: {error}"
    key = variables.get(KEY)
    return text.replace(str(key), "***") if key else text


def main(arguments: list[str]) -> int:
    """Mirror the attempt. Return the exit status."""
    keep_private(os.environ)
    die_with_parent(int(arguments[0]))
    request = MirrorRequest.model_validate(json.loads(sys.stdin.buffer.readline()))
    # The key is passed to the library as a setting. Processes that the library starts would show it in their environment.
    os.environ.update({n: v for n, v in request.variables.items() if n != KEY})
    for name in DIRECTORIES:
        Path(request.variables[name]).mkdir(mode=0o700, parents=True, exist_ok=True)
    remove_old(Path(request.own_directory))
    stdout = os.dup(1)
    os.dup2(2, 1)  # what libraries print is not a message
    with os.fdopen(stdout, "w") as out:
        end = End(sys.stdin.buffer, out)
        records = open_records(Path(request.records), end)
        if records is None:
            return 0
        try:
            with records:
                mirror(request, end, records, out)
        except Exception as error:  # noqa: BLE001  # outermost handler: W&B's library raises many kinds of errors
            say(out, MirrorMessage(reason=describe(error, request.variables)))
            return 1
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    if status != 0:
        # A thread may still wait for the end on stdin, and the interpreter aborts if it has to finalize then.
        sys.stderr.flush()
        os._exit(status)
