"""Runs pending checks in threads of the server, each in a child process."""

import threading
from dataclasses import dataclass, field
from typing import Annotated

import structlog
from fastapi import Depends, Request
from sqlalchemy.exc import SQLAlchemyError

from app.config.settings import Settings
from app.datasets.conversion.request import Limits
from app.datasets.refusal import Refused
from app.datasets.review.process import review_limits
from app.datasets.validation import service, store
from app.datasets.validation.process import Abandoned, Interrupted, Progress, run_check
from app.datasets.validation.request import CheckRequest
from app.datasets.validation.service import Held
from app.db.engine import Database
from app.storage.data_dir import Storage

log = structlog.get_logger(__name__)

POLL_SECONDS = 2.0
"""Time between searches for checks that another server has abandoned. An upload wakes the runner immediately."""


@dataclass
class Validator:
    """The threads that run checks."""

    database: Database
    storage: Storage
    settings: Settings
    _wake: threading.Condition = field(default_factory=threading.Condition)
    _is_stopping: bool = False
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Start the threads."""
        if self.database.is_sqlite:
            # Only one server uses an SQLite file, so any server that held a lease has ended.
            with self.database.writing() as session:
                store.release_all(session)
        for number in range(self.settings.validations):
            thread = threading.Thread(target=self._run, name=f"validation-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def wake(self) -> None:
        """Make the runner look for a check now."""
        with self._wake:
            self._wake.notify()

    def stop(self) -> None:
        """End the children, release their checks, and wait until this is done."""
        with self._wake:
            self._is_stopping = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    def run_next(self) -> bool:
        """Run the oldest pending check; return False if there is none."""
        with self.database.reading() as session:
            if not store.has_due(session):
                return False
        with self.database.writing() as session:
            held = service.claim_next(session)
        if held is None:
            return False
        try:
            self._check(held)
        except Refused as refused:
            self._fail(held, refused)
        except Interrupted as interrupted:
            if held.tries >= service.MOST_TRIES:
                self._fail(held, interrupted.refusal)
            else:
                with self.database.writing() as session:
                    service.release(session, held, is_counted=True)
        except Abandoned:
            with self.database.writing() as session:
                service.release(session, held, is_counted=False)
        return True

    def _run(self) -> None:
        while not self._is_stopping:
            try:
                if self.run_next():
                    continue
            except Exception:
                # Outermost handler: the lease expires, and the check is started again.
                log.exception("a dataset could not be checked")
            with self._wake:
                if not self._is_stopping:
                    self._wake.wait(POLL_SECONDS)

    def _check(self, held: Held) -> None:
        """Check a file and make its dataset ready. Raises Refused, Interrupted or Abandoned."""
        path = self.storage.dataset(held.dataset.id)
        source = held.validation.upload_path
        try:
            file = self.storage.path(source).open("rb")
        except OSError as error:
            log.warning("a received file is missing", path=source, problem=str(error))
            raise Refused("storage_unavailable") from error
        with file, self.storage.draft() as draft:
            request = self._request(held, str(draft.path), path)
            accepted = run_check(file, request, lambda progress: self._beat(held, progress))
        with self.database.writing() as session:
            used = service.accept(session, held, accepted)
        if used is not None:
            self.storage.delete(source)
        if used != path:
            self.storage.delete(path)

    def _beat(self, held: Held, progress: Progress) -> bool:
        if self._is_stopping:
            return False
        try:
            with self.database.writing() as session:
                return service.renew(session, held, progress.bytes, progress.rows)
        except SQLAlchemyError as error:
            # If the lease expires in the meantime, the result is discarded.
            log.warning("a lease could not be renewed", dataset=held.dataset.id, problem=str(error))
            return True

    def _fail(self, held: Held, refused: Refused) -> None:
        with self.database.writing() as session:
            is_failed = service.fail(session, held.dataset.id, held.token, refused)
        if is_failed:
            self.storage.delete(held.validation.upload_path)
            log.info("dataset refused", dataset=held.dataset.id, code=refused.code)

    def _request(self, held: Held, draft: str, path: str) -> CheckRequest:
        settings = self.settings
        return CheckRequest(
            filename=held.dataset.filename,
            encoding=held.validation.encoding,  # type: ignore[arg-type]  # stored from an Encoding
            columns=held.dataset.columns or {"format": None, "columns": {}},
            data_dir=str(self.storage.root),
            draft=draft,
            path=path,
            limits=Limits(
                unpacked_bytes=settings.max_unpacked_bytes,
                memory_bytes=settings.conversion_memory_bytes,
                seconds=settings.validation_seconds,
            ),
            conversion_seconds=settings.conversion_seconds,
            review_limits=review_limits(settings),
        )


async def get_validator(request: Request) -> Validator:
    """Return the server's validator."""
    validator: Validator = request.app.state.validator
    return validator


ValidatorDep = Annotated[Validator, Depends(get_validator)]
