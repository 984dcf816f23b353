"""Decides which of a job's checkpoints to keep, and which files can be deleted."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from app.checkpoints import store
from app.db.tables import Checkpoint, Job
from app.leases.store import HeldAttempt
from contracts.checkpoint import CheckpointFile
from contracts.job import load_stored_spec


def prune(session: Session, job: Job, current: HeldAttempt) -> list[str]:
    """Delete the rows of checkpoints that the job no longer needs and of their files. Return the files' paths.

    The job keeps its newest `checkpoint.keep` checkpoints and its best one, counted separately for the server's storage
    and for the disk of each attempt's worker. It also keeps the checkpoint that `current` is uploading: on a slow
    connection, training may write several newer ones before the upload finishes. The caller must have locked the job's
    row, and must delete the files after the commit.
    """
    keep = load_stored_spec(job.spec).checkpoint.keep
    found = [checkpoint for checkpoint, _ in store.list_of_job(session, job.id)]
    uploading = _find_upload(found, current)
    groups: dict[str, list[Checkpoint]] = {}
    for checkpoint in found:
        location = "storage" if checkpoint.stored_at is not None else checkpoint.attempt_id
        groups.setdefault(location, []).append(checkpoint)
    kept: list[Checkpoint] = []
    deleted: list[str] = []
    for group in groups.values():
        best = find_best(group)
        for rank, checkpoint in enumerate(group):
            if rank < keep or checkpoint is best or checkpoint is uploading:
                kept.append(checkpoint)
            else:
                deleted.append(checkpoint.id)
    store.delete_checkpoints(session, deleted)
    needed = {
        file.sha256
        for checkpoint in kept
        if checkpoint.stored_at is not None or checkpoint.attempt_id == current.id
        for file in files_of(checkpoint)
    }
    unneeded = [blob for blob in store.list_blobs(session, job.id) if blob.sha256 not in needed]
    store.delete_blobs(session, job.id, [blob.sha256 for blob in unneeded])
    return [blob.path for blob in unneeded]


def find_best(checkpoints: Sequence[Checkpoint]) -> Checkpoint | None:
    """Return the checkpoint with the lowest evaluation loss, or None if there is none with a loss.

    If several have the same loss, return the first, which is the newest in the order of `store.list_of_job`.
    """
    scored = [
        (c.eval_loss, rank, c) for rank, c in enumerate(checkpoints) if c.eval_loss is not None
    ]
    return min(scored)[2] if scored else None


def files_of(checkpoint: Checkpoint) -> list[CheckpointFile]:
    """Return the files that the worker has offered for the checkpoint; empty until it offers them."""
    return [CheckpointFile.model_validate(file) for file in checkpoint.files or []]


def _find_upload(checkpoints: Sequence[Checkpoint], current: HeldAttempt) -> Checkpoint | None:
    """Return the newest checkpoint that the attempt has offered, or None if it is already stored."""
    offered = (c for c in checkpoints if c.attempt_id == current.id and c.files)
    newest = next(offered, None)
    return None if newest is None or newest.stored_at is not None else newest
