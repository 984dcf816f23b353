"""Deliberately broken builds that test the checker: `python -m benchmarks.faults.broken NAME`.

Each replaces one function, which breaks exactly one promise, and then starts the real process:

    no_fence     the server accepts requests of superseded attempts
    early_ack    the server acknowledges records and stores them from memory a moment later
    no_spool     the worker drops records that it cannot send immediately
"""

import runpy
import sys
import threading
from collections.abc import Callable
from typing import Any

LATE_SECONDS = 2.0
"""How long the server of the `early_ack` build holds records in memory."""


def no_fence() -> str:
    """Accept writes from every attempt with a valid token, even if the attempt has ended."""
    from app.leases import store  # noqa: PLC0415  # each build imports only its own process's code

    statement = store._HOLD  # noqa: SLF001  # a broken build changes internals
    statement._where_criteria = tuple(  # noqa: SLF001
        criterion
        for criterion in statement._where_criteria  # noqa: SLF001
        if "status" not in str(criterion)
    )
    return "app.main"


def early_ack() -> str:
    """Acknowledge records immediately and store them later."""
    from sqlalchemy.orm import Session  # noqa: PLC0415

    from app.attempts import store  # noqa: PLC0415

    real_insert, real_seqs = store.insert_records, store.list_stored_seqs
    pending: dict[str, set[int]] = {}

    def insert_records(session: Session, rows: Any) -> None:
        engine = session.get_bind()
        for row in rows:
            pending.setdefault(row["attempt_id"], set()).add(row["seq"])

        def store_them() -> None:
            with Session(engine) as later, later.begin():
                real_insert(later, rows)

        threading.Timer(LATE_SECONDS, store_them).start()

    def list_stored_seqs(session: Session, attempt_id: str, seqs: Any) -> set[int]:
        return {*real_seqs(session, attempt_id, seqs), *pending.get(attempt_id, ())}

    def find_acked_seq(session: Session, attempt: Any, fresh: Any) -> int:  # noqa: ARG001  # the names of the original
        return max(int(attempt.acked_seq), *pending.get(attempt.id, {0}))

    store.insert_records = insert_records
    store.list_stored_seqs = list_stored_seqs
    store.find_acked_seq = find_acked_seq
    return "app.main"


def no_spool() -> str:
    """Drop records that could not be sent immediately, as if they had never been written."""
    from worker.supervisor.reporting import records, reporter  # noqa: PLC0415
    from worker.supervisor.server.answers import ServerUnavailable  # noqa: PLC0415

    real_note = reporter.Reporter._note_unavailable  # noqa: SLF001

    def note_unavailable(self: Any, reason: str) -> None:
        real_note(self, reason)
        self._follow._pending.clear()  # noqa: SLF001

    def acknowledge(self: Any, seq: int) -> None:
        self._pending.clear()  # drop all sent records, whether they arrived or not
        self.acked = seq

    def drain(self: Any) -> None:
        while (request := self._news(whole=True)).records:
            try:
                self._sync(request)
            except ServerUnavailable as error:
                self._note_unavailable(str(error))

    last_seq = property(lambda self: getattr(self._follow, "acked", 0))
    replaced = {"_note_unavailable": note_unavailable, "drain": drain, "last_seq": last_seq}
    for name, replacement in replaced.items():
        setattr(reporter.Reporter, name, replacement)
    setattr(records.Follow, acknowledge.__name__, acknowledge)
    return "worker.celery_app"


BUILDS: dict[str, Callable[[], str]] = {
    "no_fence": no_fence,
    "early_ack": early_ack,
    "no_spool": no_spool,
}


if __name__ == "__main__":
    module = BUILDS[sys.argv[1]]()
    sys.argv = sys.argv[:1]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
