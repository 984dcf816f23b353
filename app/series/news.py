"""Reads the rows after a reader's place on the line, in order and without thinning, for polls and streams."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy.orm import Session

from app.db.tables import Attempt
from app.events.store import find_last_event
from app.series import blocks, store
from app.series.line import FAR, Place, list_pieces, step_before, step_of_sample, where_on

NewsRow = tuple[int, int, datetime, Mapping[str, float]]
"""(seq, step, at, values by series)."""


@dataclass
class Batch:
    """New rows of one attempt."""

    attempt: int
    rewind_to_step: int | None
    """Set if the batch continues with another attempt. The reader must discard its points after this step."""
    rows: list[NewsRow] = field(default_factory=list)
    place: Place = field(default_factory=Place)
    """The reader's place after the batch."""


@dataclass(frozen=True)
class News:
    """New rows, and the reader's place after them."""

    batches: list[Batch]
    place: Place
    has_more: bool


def read_news(
    session: Session,
    attempts: Sequence[Attempt],
    place: Place,
    limit: int,
    until: Place | None = None,
) -> News:
    """Return the rows after `place`, up to `until` if given: at most `limit` records and at most `limit` samples."""
    batches: list[Batch] = []
    left = limit
    pieces = list_pieces(attempts)
    start = where_on(pieces, place)
    restarts, place = start != place, start
    for piece in pieces:
        attempt = piece.attempt
        if attempt.number < place.attempt or (until and attempt.number > until.attempt):
            continue
        is_new = attempt.number > place.attempt
        place_in = replace(place, attempt=attempt.number, seq=0, sample=0) if is_new else place
        is_last = until is not None and attempt.number == until.attempt
        last_seq = min(attempt.acked_seq, until.seq) if until and is_last else attempt.acked_seq
        last_sample = until.sample if until and is_last else FAR
        records = list(
            blocks.read_records(
                session,
                attempt.id,
                place_in.seq,
                last_seq,
                before_step=piece.before,
                limit=left + 1,
            )
        )
        samples = store.list_samples(session, attempt.id, place_in.sample, last_sample, left + 1)
        has_more = len(records) > left or len(samples) > left
        records, samples = records[:left], samples[:left]
        left -= max(len(records), len(samples))
        if not records and not samples:
            if is_last and until:
                place = replace(place_in, seq=until.seq, sample=until.sample)
            continue
        rewind = None
        if is_new and place.attempt > 0:
            rewind = step_before(attempt)
        elif is_new and restarts:
            rewind = 0
        batch = Batch(attempt.number, rewind, [*records])
        batch.rows += [
            (seq, step_of_sample(attempt, step), at, blocks.values_of_sample(data))
            for seq, step, at, data in samples
            if piece.before is None or step_of_sample(attempt, step) < piece.before
        ]
        batches.append(batch)
        place = replace(
            place_in,
            seq=records[-1][0] if records else place_in.seq,
            sample=samples[-1][0] if samples else place_in.sample,
        )
        batch.place = place
        if has_more or left == 0:
            return News(batches, place, has_more=has_more or _is_behind(place, attempts, until))
    if until is not None and all(until.attempt != piece.attempt.number for piece in pieces):
        # The attempt of `until` is no longer on the line, so there is nothing more to read.
        place = replace(place, attempt=until.attempt, seq=until.seq, sample=until.sample)
    return News(batches, place, has_more=False)


def newest_place(session: Session, job_id: str, attempts: Sequence[Attempt]) -> Place:
    """Return the place after all stored data."""
    event = find_last_event(session, job_id)
    pieces = list_pieces(attempts)
    if not pieces:
        return Place(event=event)
    newest = pieces[-1].attempt
    sample = store.list_last_samples(session, [newest.id]).get(newest.id, 0)
    return Place(newest.number, newest.acked_seq, sample, event)


def _is_behind(place: Place, attempts: Sequence[Attempt], until: Place | None) -> bool:
    """Return whether more rows may follow a full page."""
    if until is not None:
        return (place.attempt, place.seq) < (until.attempt, until.seq)
    return any(
        (attempt.number, attempt.acked_seq) > (place.attempt, place.seq) for attempt in attempts
    )
