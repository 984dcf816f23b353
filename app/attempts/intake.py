"""Stores the records and output that a worker sends, exactly once even if the worker sends them again."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from sqlalchemy.orm import Session

from app.attempts import store
from app.attempts.progress import AttemptProgress
from app.db.sql import WrittenJson
from app.leases.store import HeldAttempt
from app.series import blocks
from contracts.attempt import OutputChunk
from contracts.record import Record

IN_COLUMNS = {"seq", "type", "step", "at"}
"""Record fields stored in separate columns."""


def store_records(
    session: Session, attempt: HeldAttempt, records: Sequence[Record]
) -> list[Record]:
    """Store the records that are new, and return them in order of `seq`."""
    by_seq = {record.seq: record for record in records}
    if not by_seq:
        return []
    if min(by_seq) > attempt.seen_seq:
        stored: Collection[int] = ()  # all records are newer than the stored ones
    else:
        stored = store.list_stored_seqs(session, attempt.id, by_seq.keys())
    fresh = [record for seq, record in sorted(by_seq.items()) if seq not in stored]
    if fresh:
        store.insert_records(session, [_row(attempt.id, record) for record in fresh])
    return fresh


def count_records(
    session: Session, attempt: HeldAttempt, fresh: Sequence[Record], progress: AttemptProgress
) -> AttemptProgress:
    """Fold newly stored records into the attempt's curve. Return the progress with the new sequence numbers."""
    acked_seq = store.find_acked_seq(session, attempt, [record.seq for record in fresh])
    return replace(
        progress,
        seen_seq=max(attempt.seen_seq, *(record.seq for record in fresh)),
        acked_seq=acked_seq,
        folded_seq=blocks.fold(session, attempt.id, attempt.folded_seq, acked_seq),
    )


def store_output(session: Session, attempt: HeldAttempt, chunk: OutputChunk) -> int:
    """Store the new part of the chunk, and return the number of output bytes now stored.

    A chunk that would leave a gap is skipped, and the worker sends it again later. A chunk that overlaps the stored
    output is trimmed.
    """
    acked = attempt.acked_output
    end = chunk.offset + chunk.bytes
    if chunk.offset > acked or end <= acked:
        return acked
    text = chunk.text.replace("\0", "\ufffd")
    if chunk.offset < acked:
        text = text[store.find_output_length(session, attempt.id, chunk.offset) :]
    added = OutputChunk(offset=acked, bytes=end - acked, text=text, at=chunk.at)
    store.insert_output(session, attempt, added)
    return end


def _row(attempt_id: str, record: Record) -> dict[str, object]:
    # Thousands of records arrive per second, so each is serialized only once.
    return {
        "attempt_id": attempt_id,
        "seq": record.seq,
        "type": record.type[:50].replace("\0", "\ufffd"),
        "step": getattr(record, "step", None),
        "at": record.at,
        "data": WrittenJson(record.model_dump_json(exclude=IN_COLUMNS)),
    }
