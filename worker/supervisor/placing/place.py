"""Fills a run directory with the spec, the model and the data; the training program needs nothing else."""

import errno
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from contracts.attempt import Claim, DatasetFile
from contracts.checkpoint import Origin
from contracts.data_spec import HubDataset
from contracts.failure import Failure, FailureReason
from contracts.run.run_dir import Placed, RunDir, write_model
from worker.settings import Settings
from worker.supervisor.placing.hub import DatasetRequest, ModelRequest, fetch
from worker.supervisor.placing.models import (
    PlacedModel,
    PlacingFailed,
    find_local,
    not_found,
    placed_snapshot,
)
from worker.supervisor.placing.resume import Resumer
from worker.supervisor.reporting.notes import Notes
from worker.supervisor.server.answers import Refused, Superseded
from worker.supervisor.server.client import Server


class Placer:
    """Puts the inputs of a claim into a run directory. `pulse` keeps syncing with the server and may raise to end the attempt."""

    def __init__(
        self,
        claim: Claim,
        server: Server,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        pulse: Callable[[], object],
        notes: Notes,
    ) -> None:
        self._claim = claim
        self._server = server
        self._settings = settings
        self._environ = environ
        self._pulse = pulse
        self._notes = notes

    def place(self, run_dir: RunDir) -> None:
        """Fill a run directory, which must not exist yet. Raises PlacingFailed."""
        try:
            self._place(run_dir)
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            detail = f"while copying the model and the data into the run directory: {error}"
            raise PlacingFailed(Failure(reason=FailureReason.DISK_FULL, detail=detail)) from error

    def _place(self, run_dir: RunDir) -> None:
        claim = self._claim
        run_dir.path.mkdir(mode=0o700, parents=True)
        run_dir.train_data.parent.mkdir()
        write_model(run_dir.spec, claim.spec)
        home = run_dir.path.parent
        resumer = Resumer(claim, self._server, home, self._pulse, self._notes)
        # An attempt that resumes from a checkpoint uses the same commits as the attempt that wrote it.
        resumed = resumer.resume(run_dir)
        origin = resumed.origin if resumed else Origin()
        model = self._model(claim.spec.model_revision or origin.model_revision)
        run_dir.model.symlink_to(model.path, target_is_directory=True)
        train_revision = None
        if claim.train is not None:
            train_revision = self._data(claim.train, run_dir.train_data, origin.train_revision)
        revisions = origin.mixed_revisions or [None] * len(claim.mixed)
        mixed_revisions = [
            self._data(source, run_dir.mixed_data(number), revision)
            for number, (source, revision) in enumerate(zip(claim.mixed, revisions, strict=True))
        ]
        eval_revision = None
        if claim.eval is not None:
            eval_revision = self._data(claim.eval, run_dir.eval_data, origin.eval_revision)
        write_model(
            run_dir.placed,
            Placed(
                attempt_id=claim.attempt_id,
                job_id=claim.job_id,
                attempt_number=claim.number,
                submitted_at=claim.submitted_at,
                model_revision=model.revision,
                model_roots=model.roots,
                train_revision=train_revision,
                mixed_revisions=mixed_revisions,
                eval_revision=eval_revision,
                resumed_from=resumed.attempt if resumed else None,
                spool_bytes=self._settings.spool_bytes,
                ranks=claim.gpus,
                token_cache=token_cache_dir(self._settings),
                token_cache_bytes=self._settings.token_cache_bytes,
                hang_seconds=self._settings.hang_seconds,
            ),
        )

    def _model(self, revision: str | None) -> PlacedModel:
        name, root = self._claim.spec.model, self._settings.models_dir
        local = find_local(root, name)
        if local is not None:
            return local
        if not self._settings.hub:
            raise not_found(name, root, "and this worker does not download models from the hub")
        request = ModelRequest(name=name, revision=revision)
        result = fetch(request, self._environ, os.getpid(), self._pulse)
        if result.failure is not None:
            if result.failure.reason is FailureReason.MODEL_NOT_FOUND:
                raise not_found(name, root, result.failure.detail)
            raise PlacingFailed(result.failure)
        if result.path is None:
            raise RuntimeError("the hub process returned neither a directory nor a failure")
        return placed_snapshot(name, result.path, result.commit)

    def _data(
        self, source: DatasetFile | HubDataset, target: Path, revision: str | None
    ) -> str | None:
        if isinstance(source, HubDataset):
            pinned = source.model_copy(update={"revision": source.revision or revision})
            return self._hub_data(pinned, target)
        temporary = target.with_name(target.name + ".tmp")
        try:
            self._server.download(
                self._claim, source.dataset_id, source.sha256, temporary, self._pulse
            )
        except Superseded:
            raise
        except Refused as refusal:
            detail = f"{source.dataset_id}: the server rejected the download ({refusal})"
            raise PlacingFailed(
                Failure(reason=FailureReason.DATASET_NOT_FOUND, detail=detail)
            ) from refusal
        temporary.replace(target)
        return None

    def _hub_data(self, source: HubDataset, target: Path) -> str | None:
        if not self._settings.hub:
            detail = f"{source.hub}: this worker does not download datasets from the hub."
            raise PlacingFailed(Failure(reason=FailureReason.DATASET_NOT_FOUND, detail=detail))
        request = DatasetRequest(
            source=source, target=target, memory_bytes=self._settings.hub_memory_bytes
        )
        result = fetch(request, self._environ, os.getpid(), self._pulse)
        if result.failure is not None:
            raise PlacingFailed(result.failure)
        return result.commit


def token_cache_dir(settings: Settings) -> Path | None:
    """Return the directory of the token cache, which all workers with this work directory share; None if it is turned off."""
    return settings.work_dir.absolute() / "token_cache" if settings.token_cache_bytes else None


def tidy(run_dir: RunDir, keep_run: bool, kept_runs: int) -> None:
    """Delete the run directory unless `keep_run`, then delete this worker's surplus run directories.

    Keeps `kept_runs` run directories. Those with checkpoints take precedence, then the newest.
    """
    if not keep_run:
        shutil.rmtree(run_dir.path, ignore_errors=True)
    siblings = sorted(
        (path for path in run_dir.path.parent.iterdir() if path.is_dir()),
        key=lambda path: (RunDir(path).checkpoints.is_dir(), path.stat().st_mtime),
        reverse=True,
    )
    for path in siblings[kept_runs:]:
        shutil.rmtree(path, ignore_errors=True)
