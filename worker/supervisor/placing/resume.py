"""Finds the checkpoint that an attempt resumes from: in the work directory, or in the server's storage.

The workers of a host share the work directory, so the attempt that wrote the checkpoint may have run on another card.

Earlier attempts may have left records on this disk that the server lacks; these are uploaded first. The
newest checkpoint is tried first. A checkpoint that is damaged or beyond the server's records is skipped with a note.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import ValidationError

from contracts.attempt import Claim, EarlierAttempt
from contracts.checkpoint import (
    CheckpointFile,
    Manifest,
    Origin,
    ResumePoint,
    is_whole,
    list_checkpoints,
)
from contracts.record import CheckpointRecord, EvalRecord, GapRecord, MetricRecord, Record
from contracts.run.run_dir import RunDir, load_placed
from worker.supervisor.reporting.notes import Notes
from worker.supervisor.reporting.records import Follow
from worker.supervisor.server.answers import Refused, Superseded
from worker.supervisor.server.client import Server

log = structlog.get_logger(__name__)

DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


class Damaged(Exception):
    """A checkpoint from which no attempt can resume."""

    code = "checkpoint_damaged"


class Unrecorded(Damaged):
    """A checkpoint beyond the server's records: resuming from it would leave a gap in the history."""

    code = "checkpoint_unrecorded"


@dataclass(frozen=True)
class Recorded:
    """The last step of an earlier attempt for which the server has records, and why it has none for later steps."""

    step: int
    reason: str


@dataclass(frozen=True)
class LocalCheckpoint:
    """A checkpoint in the work directory, in the run directory of an earlier attempt."""

    attempt: int
    step: int
    origin: Origin
    path: Path
    recorded: Recorded
    """The last step of that attempt for which the server has records."""


@dataclass(frozen=True)
class StoredCheckpoint:
    """A checkpoint in the server's storage."""

    attempt: int
    step: int
    origin: Origin
    files: list[CheckpointFile]


Checkpoint = LocalCheckpoint | StoredCheckpoint


class Resumer:
    """Finds and fetches the checkpoint that one claim resumes from.

    `home` holds this worker's run directories; the homes of the host's other workers are next to it.
    """

    def __init__(
        self,
        claim: Claim,
        server: Server,
        home: Path,
        pulse: Callable[[], object],
        notes: Notes,
    ) -> None:
        self._claim = claim
        self._server = server
        self._home = home
        self._pulse = pulse
        self._notes = notes

    def resume(self, run_dir: RunDir) -> Checkpoint | None:
        """Fill `resume/` with the newest intact checkpoint and return it.

        Return None if there is none; training then starts at step 1.
        """
        found: list[Checkpoint] = [
            checkpoint
            for earlier, directory in self._local_attempts()
            for checkpoint in self._local_checkpoints(earlier, directory)
        ]
        found += map(_stored, self._claim.resume)
        found.sort(key=lambda c: (c.attempt, c.step, isinstance(c, LocalCheckpoint)), reverse=True)
        for checkpoint in found:
            step, attempt = checkpoint.step, checkpoint.attempt
            try:
                self._fetch(checkpoint, run_dir.resume)
            except Damaged as damage:
                if isinstance(checkpoint, LocalCheckpoint) and not checkpoint.path.exists():
                    log.info("checkpoint_deleted", step=step, attempt=attempt)  # by its owner
                    continue
                reason = str(damage)[:400]
                log.warning(damage.code, reason=reason, step=step, attempt=attempt)
                self._notes.add(
                    damage.code, "warning", reason=reason, step=step, of_attempt=attempt
                )
                continue
            is_local = isinstance(checkpoint, LocalCheckpoint)
            code = "resuming_local" if is_local else "resuming_stored"
            self._notes.add(code, step=step, of_attempt=attempt)
            log.info(code, step=step, attempt=attempt)
            return checkpoint
        if found:
            self._notes.add("starting_over", "warning")
        return None

    def _local_attempts(self) -> Iterator[tuple[EarlierAttempt, RunDir]]:
        """Yield the earlier attempts of this job whose run directory is still in the work directory."""
        for earlier in self._claim.earlier:
            # Only one worker has run an attempt, so there is at most one such directory.
            for path in self._home.parent.glob(f"*/{earlier.attempt_id}"):
                directory = RunDir(path)
                if os.access(directory.placed, os.R_OK):
                    yield earlier, directory

    def _local_checkpoints(
        self, earlier: EarlierAttempt, directory: RunDir
    ) -> Iterator[LocalCheckpoint]:
        """Upload the records of an earlier attempt, and yield the checkpoints that it left in the work directory."""
        listed = _list(directory)  # before the records, so that those of each checkpoint are read
        recorded = self._upload_records(earlier, directory)
        origin, limit = _origin(directory), earlier.usable_to_step
        for path, manifest in listed:
            if origin is not None and (limit is None or manifest.step <= limit):
                yield LocalCheckpoint(earlier.number, manifest.step, origin, path, recorded)

    def _upload_records(self, earlier: EarlierAttempt, directory: RunDir) -> Recorded:
        """Upload the records that the server lacks, and return the last step for which it now has records."""
        # Another worker may still run the attempt after its lease has expired, and append records until it notices.
        follow = Follow(directory.records, end=_size(directory.records))
        acked, step = earlier.acked_seq, 0
        while records := _read_batch(follow):
            stored = [record for record in records if record.seq <= acked]
            if stored:
                step = max(step, *map(_step_of, stored))
                follow.acknowledge(stored[-1].seq)
                continue
            try:
                acked = self._server.hand_in_earlier(self._claim, earlier.number, records)
            except Superseded:
                raise
            except Refused as refusal:
                log.warning(
                    "the server rejected records of an earlier attempt", reason=str(refusal)
                )
                return Recorded(step, str(refusal))
            if acked < records[0].seq:
                log.warning(
                    "the server did not store records of an earlier attempt", acked_seq=acked
                )
                return Recorded(step, f"the server did not store any record after number {acked}")
            self._pulse()
        return Recorded(step, follow.damage or "the attempt's records end there")

    def _fetch(self, checkpoint: Checkpoint, target: Path) -> None:
        """Put the files of a checkpoint into target. Raises Damaged, without creating target."""
        temporary = target.with_name(target.name + ".tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        match checkpoint:
            case LocalCheckpoint():
                _link_files(checkpoint, temporary)
            case StoredCheckpoint():
                self._download_files(checkpoint, temporary)
        if not is_whole(temporary):
            raise Damaged("its files do not match its manifest")
        temporary.replace(target)

    def _download_files(self, checkpoint: StoredCheckpoint, target: Path) -> None:
        for file in checkpoint.files:
            try:
                self._server.fetch_checkpoint_file(
                    self._claim, file.sha256, target / file.name, self._pulse
                )
            except Superseded:
                raise
            except Refused as refusal:
                raise Damaged(f"{file.name}: {refusal}") from refusal


def _list(directory: RunDir) -> list[tuple[Path, Manifest]]:
    """Return the checkpoints in a run directory; none if its worker deletes it at this moment."""
    try:
        return list_checkpoints(directory.checkpoints)
    except OSError:
        return []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _stored(point: ResumePoint) -> StoredCheckpoint:
    return StoredCheckpoint(point.attempt, point.step, point.origin, point.files)


def _read_batch(follow: Follow) -> list[Record]:
    """Return the next records; none if another worker deletes its run directory at this moment."""
    try:
        return follow.batch()
    except OSError:
        return []


def _link_files(checkpoint: LocalCheckpoint, target: Path) -> None:
    """Link the files of a checkpoint, because its run directory may be deleted before training starts."""
    recorded = checkpoint.recorded
    if checkpoint.step > recorded.step:
        raise Unrecorded(
            f"the server has that attempt's records only up to step {recorded.step}: {recorded.reason}"
        )
    try:
        for file in checkpoint.path.iterdir():
            _link(file, target / file.name)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        raise Damaged(str(error)) from error


def _link(source: Path, target: Path) -> None:
    with suppress(OSError):
        os.link(source, target)
        return
    shutil.copyfile(source, target)  # where hard links are not supported


def _step_of(record: Record) -> int:
    match record:
        case MetricRecord() | EvalRecord() | CheckpointRecord():
            return record.step
        case GapRecord():
            return record.last_step
        case _:  # phases and log lines may name a step of an earlier attempt
            return 0


def _origin(directory: RunDir) -> Origin | None:
    try:
        return load_placed(directory).origin
    except (OSError, ValidationError):
        return None
