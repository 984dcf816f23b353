"""The list of files: uploaded ones and those that jobs have written, in one order by time.

Of entries with the same time, an uploaded file comes after those of jobs if the oldest is first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.db.engine import Database, database_now
from app.db.openai_tables import File
from app.db.tables import Dataset, Job
from app.errors.kinds import BadCursor, JobNotFound
from app.files import service as files
from app.files import store as file_rows
from app.files.schemas import FilePurpose, FileView
from app.jobs import service as jobs
from app.openai import ids
from app.openai.files import store
from app.openai.files.store import FinishedJob, JobPlace
from app.openai.files.written import RESULTS_NAME, measure, view
from contracts.failure import Language
from contracts.job import JobStatus
from contracts.protocol.wire import ADAPTER_ARTIFACT

MOST_MEASURED = 20
"""Maximum number of result files that one request measures. A page that would need more ends earlier."""
_OF_JOB, _UPLOADED = 0, 1
_LAST_NUMBER = 2**62


class Key(NamedTuple):
    """The place of an entry in the list."""

    at: datetime
    kind: int
    number: int
    part: int = 0
    """0 for the result file of a job, 1 for its adapter."""


@dataclass(frozen=True)
class Entry:
    """An entry of the list."""

    key: Key
    uploaded: tuple[File, Dataset] | None = None
    job: FinishedJob | None = None


def list_files(
    database: Database,
    purpose: FilePurpose | None,
    after: str | None,
    limit: int,
    language: Language,
    *,
    is_ascending: bool,
) -> tuple[list[FileView], bool]:
    """Return a page of files and whether there are more. Raises BadCursor unless `after` is a file, or was one until not long ago."""
    with database.reading() as session:
        place = None if after is None else _find_place(session, after)
        found: list[Entry] = []
        if purpose != "fine-tune-results":
            found += _list_uploaded(session, place, limit + 1, is_ascending=is_ascending)
        if purpose != "fine-tune":
            found += _list_of_jobs(session, place, limit + 1, is_ascending=is_ascending)
        found.sort(key=lambda entry: entry.key, reverse=not is_ascending)
        page = _end_early(found[:limit])
        # The text of an uploaded file needs the session; the size of a result file needs transactions of its own.
        views = {
            entry.key: files.view_file(session, *entry.uploaded, language)
            for entry in page
            if entry.uploaded is not None
        }
    data = [views.get(entry.key) or _view_of_job(database, entry) for entry in page]
    return data, len(found) > len(page)


def _find_place(session: Session, file_id: str) -> Key:
    try:
        written = ids.written_file(file_id)
        if written is None:
            found = file_rows.find_place(session, file_id)
            if found is None:
                raise BadCursor("after")
            return Key(found.at, _UPLOADED, found.number)
        if written.kind == "checkpoint":  # not in the list
            raise BadCursor("after")
        job = jobs.get_row(session, written.owner)
    except JobNotFound as error:
        raise BadCursor("after") from error
    if job.status is not JobStatus.SUCCEEDED:
        raise BadCursor("after")
    return Key(_ended_at(job), _OF_JOB, job.number, int(written.kind == "adapter"))


def _ended_at(job: Job) -> datetime:
    return job.ended_at or job.created_at


def _list_uploaded(
    session: Session, place: Key | None, limit: int, *, is_ascending: bool
) -> Iterator[Entry]:
    after = None
    if place is not None:
        # After an entry of a job: with the oldest first, all files of the same time follow; otherwise none does.
        number = place.number if place.kind == _UPLOADED else 0
        after = file_rows.Place(place.at, number)
    rows = file_rows.list_files(
        session, after, limit, database_now(session), is_ascending=is_ascending
    )
    for file, dataset in rows:
        yield Entry(Key(file.created_at, _UPLOADED, file.number), uploaded=(file, dataset))


def _list_of_jobs(
    session: Session, place: Key | None, limit: int, *, is_ascending: bool
) -> Iterator[Entry]:
    start = None
    if place is not None:
        # After an uploaded file: with the newest first, all entries of jobs of the same time follow; otherwise none does.
        number = place.number if place.kind == _OF_JOB else _LAST_NUMBER
        start = JobPlace(place.at, number)
    for job in store.list_finished(session, start, limit + 1, is_ascending=is_ascending):
        for part in range(1 if job.adapter_bytes is None else 2):
            key = Key(job.ended_at, _OF_JOB, job.number, part)
            if place is None or (key > place if is_ascending else key < place):
                yield Entry(key, job=job)


def _end_early(page: list[Entry]) -> list[Entry]:
    """Return the part of a page with at most MOST_MEASURED result files whose size is not known yet."""
    unknown = 0
    for count, entry in enumerate(page):
        if entry.job is not None and entry.key.part == 0 and entry.job.results_bytes is None:
            unknown += 1
            if unknown > MOST_MEASURED:
                return page[:count]
    return page


def _view_of_job(database: Database, entry: Entry) -> FileView:
    job = entry.job
    assert job is not None  # noqa: S101  # an entry is either uploaded or of a job
    if entry.key.part == 1:
        size = job.adapter_bytes or 0
        return view(ids.adapter_file(job.id), ADAPTER_ARTIFACT, size, job.ended_at)
    known = job.results_bytes
    size = measure(database, job.id) if known is None else known
    return view(ids.results_file(job.id), RESULTS_NAME, size, job.ended_at)
