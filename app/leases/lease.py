"""Lease rules: tokens, and how long a worker may go without reporting. All times come from the database's clock."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Depends
from sqlalchemy.orm import Session

from app.config.settings import Settings
from app.db.ids import is_id
from app.db.tables import Attempt
from app.errors.kinds import AttemptSuperseded, InvalidToken
from app.http.headers.bearer import SettingsDep
from app.leases import store
from app.leases.store import HeldAttempt


@dataclass(frozen=True)
class Times:
    """Durations of the lease, the takeover and the retry, in seconds."""

    lease_seconds: float
    takeover_seconds: float
    retry_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> "Times":
        """Return the times from the settings."""
        return cls(settings.lease_seconds, settings.takeover_seconds, settings.retry_seconds)

    def lease_expires_at(self, now: datetime) -> datetime:
        """Return when a worker that syncs now becomes unreachable unless it syncs again."""
        return now + timedelta(seconds=self.lease_seconds)

    def takeover_at(self, now: datetime) -> datetime:
        """Return when the attempt of a worker that syncs now is lost unless the worker syncs again."""
        return now + timedelta(seconds=self.takeover_seconds)


def make_token(secret: str, attempt_id: str, claim_id: str | None) -> str:
    """Return an unguessable token. A repeated claim gets the same token; a claim without an id gets a random one."""
    if claim_id is None:
        return secrets.token_urlsafe(32)
    message = f"{attempt_id} {claim_id}".encode("utf-8", "surrogateescape")
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def hash_token(token: str) -> str:
    """Return the hash that is stored instead of the token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def hold(
    session: Session, attempt_id: str, token: str, times: Times
) -> tuple[HeldAttempt, datetime]:
    """Renew the lease of a running attempt, and return the attempt and the current time.

    Raises InvalidToken, or AttemptSuperseded if the attempt has ended.
    """
    if not is_id(attempt_id):
        raise InvalidToken
    held = store.hold_attempt(
        session,
        attempt_id,
        hash_token(token),
        lease_seconds=times.lease_seconds,
        takeover_seconds=times.takeover_seconds,
    )
    if held is None:
        ended = get_attempt(session, attempt_id, token)
        raise AttemptSuperseded(attempt=attempt_id, status=ended.status.value)
    return held, held.synced_at


def get_attempt(session: Session, attempt_id: str, token: str) -> Attempt:
    """Return the attempt, regardless of its status. Raises InvalidToken if the token does not belong to it."""
    attempt = (
        store.find_attempt(session, attempt_id, hash_token(token)) if is_id(attempt_id) else None
    )
    if attempt is None:
        raise InvalidToken
    return attempt


async def _times(settings: SettingsDep) -> Times:
    return Times.of(settings)


TimesDep = Annotated[Times, Depends(_times)]
