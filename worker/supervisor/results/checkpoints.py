"""Uploads an attempt's checkpoints while it trains: the newest first, then the best, one at a time.

Runs in a thread with its own connection, so neither steps nor syncs wait for an upload. A failed upload is noted
once and retried with growing pauses; it never stops the training. A superseded attempt stops uploading.
"""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from contracts.attempt import Claim
from contracts.checkpoint import (
    CheckpointOffer,
    Manifest,
    describe_files,
    list_checkpoints,
)
from contracts.run.run_dir import RunDir, load_placed
from worker.supervisor.reporting.notes import Notes
from worker.supervisor.server.answers import (
    FileNotOffered,
    RecordsMissing,
    Refused,
    ServerUnavailable,
    Superseded,
)
from worker.supervisor.server.client import Server

log = structlog.get_logger(__name__)

CHECK_SECONDS = 0.2
"""Time between two checks of the disk."""
LONGEST_PAUSE_SECONDS = 30.0
OFFERS = 3
"""A checkpoint's upload counts as failed after this many consecutive offers."""


class _Ended(Exception):
    """The uploads of this attempt must end."""


class Uploads:
    """Uploads the checkpoints of one attempt in a thread."""

    def __init__(
        self, claim: Claim, connect: Callable[[], Server], run_dir: RunDir, notes: Notes
    ) -> None:
        self._claim = claim
        self._connect = connect
        self._run_dir = run_dir
        self._notes = notes
        self._settled: set[int] = set()
        self._failures = 0
        self._ended = threading.Event()
        self._is_final = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uploads", daemon=True)

    def start(self) -> None:
        """Start the upload thread."""
        self._thread.start()

    def finish(self, pulse: Callable[[], object], give_up: Callable[[], bool]) -> None:
        """Wait until the server has stored the newest checkpoint, calling pulse while waiting. Call this after training."""
        self._is_final.set()
        if self._thread.ident is None:
            self._thread.start()
        try:
            while self._thread.is_alive() and not give_up():
                pulse()
                self._thread.join(0.05)
        finally:
            self.stop()

    def stop(self) -> None:
        """Do not start further uploads; an upload in progress stops at its next chunk."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(1)

    def _run(self) -> None:
        try:
            with self._connect() as server:
                while not self._ended.is_set():
                    found = self._next()
                    if found is None and self._is_final.is_set():
                        return
                    pause = CHECK_SECONDS if found is None else self._try(server, *found)
                    self._ended.wait(pause)
        except (Superseded, _Ended):
            return
        except Exception:
            # The thread's outermost handler: an error here must not end the training.
            log.exception("uploading checkpoints failed")

    def _next(self) -> tuple[Path, Manifest] | None:
        found = list_checkpoints(self._run_dir.checkpoints)
        candidates = found[:1]
        scored = [(m.eval_loss, -m.step, path, m) for path, m in found if m.eval_loss is not None]
        if scored and not self._is_final.is_set():
            candidates.append(min(scored)[2:])
        return next((pair for pair in candidates if pair[1].step not in self._settled), None)

    def _try(self, server: Server, path: Path, manifest: Manifest) -> float:
        """Try to store a checkpoint, and return how many seconds to wait before the next check."""
        step = manifest.step
        try:
            self._upload(server, path, manifest)
        except RecordsMissing:  # the server does not have the checkpoint's record yet
            return CHECK_SECONDS
        except Superseded:
            raise
        except Refused as refusal:
            if refusal.status == 401:
                raise _Ended from refusal
            # If the server has dropped the offer, the worker can offer the checkpoint again.
            if refusal.status >= 500 or isinstance(refusal, FileNotOffered):
                return self._note_failure(step, str(refusal))
            self._give_up(step, str(refusal))
        except FileNotFoundError as error:
            if path.exists():
                self._give_up(step, f"it is incomplete: {error}")
            self._settled.add(step)  # if the checkpoint was pruned, there is a newer one
        except (ServerUnavailable, OSError) as error:
            return self._note_failure(step, str(error))
        else:
            log.info("checkpoint stored", step=step)
            self._settled.add(step)
            self._failures = 0
        return 0.0

    def _upload(self, server: Server, path: Path, manifest: Manifest) -> None:
        with self._linked(path) as directory:
            files = {file.sha256: file for file in describe_files(directory)}
            offer = CheckpointOffer(
                step=manifest.step,
                name=path.name,
                eval_loss=manifest.eval_loss,
                files=list(files.values()),
                origin=load_placed(self._run_dir).origin,
            )
            for _ in range(OFFERS):
                reply = server.offer_checkpoint(self._claim, offer)
                if reply.stored:
                    return
                for sha256 in reply.missing:
                    file = directory / files[sha256].name
                    server.send_checkpoint_file(self._claim, sha256, file, self._pulse)
            raise ServerUnavailable("the server repeatedly lost files that it had received")

    @contextmanager
    def _linked(self, path: Path) -> Iterator[Path]:
        """Keep links to the files during the upload, because the training program may prune its checkpoints."""
        directory = self._run_dir.outbox / path.name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        try:
            for file in path.iterdir():
                os.link(file, directory / file.name)
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _pulse(self) -> None:
        if self._ended.is_set():
            raise _Ended

    def _note_failure(self, step: int, reason: str) -> float:
        if self._failures == 0:
            log.warning("a checkpoint could not be uploaded yet", step=step, reason=reason)
            self._notes.add("checkpoint_delayed", "warning", step=step, reason=reason[:400])
        self._failures += 1
        return min(LONGEST_PAUSE_SECONDS, CHECK_SECONDS * 2.0 ** min(self._failures, 10))

    def _give_up(self, step: int, reason: str) -> None:
        log.warning("gave up uploading a checkpoint", step=step, reason=reason)
        self._notes.add("checkpoint_not_uploaded", "warning", step=step, reason=reason[:400])
        self._settled.add(step)
