"""SQL for webhook endpoints and deliveries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack

from sqlalchemy import CursorResult, delete, func, select, update
from sqlalchemy.orm import Session

from app.db.webhook_tables import WebhookDelivery, WebhookEndpoint


class DeliveryColumns(TypedDict, total=False):
    """Columns of a delivery that a try changes."""

    status: Literal["delivered", "dead"]
    next_at: datetime
    tries: int
    log: list[dict[str, Any]]
    ended_at: datetime


def insert(session: Session, row: WebhookEndpoint | WebhookDelivery) -> None:
    """Store a new row."""
    session.add(row)
    session.flush()


def find_endpoint(
    session: Session, endpoint_id: str, *, for_update: bool = False
) -> WebhookEndpoint | None:
    """Return the endpoint, or None; with `for_update`, locked until the end of the transaction."""
    query = select(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id)
    return session.scalars(query.with_for_update() if for_update else query).one_or_none()


def list_endpoints(session: Session) -> Sequence[WebhookEndpoint]:
    """Return all endpoints, oldest first."""
    return session.scalars(select(WebhookEndpoint).order_by(WebhookEndpoint.number)).all()


def lock_endpoints(session: Session) -> Sequence[WebhookEndpoint]:
    """Return all endpoints, oldest first, locked so that none can be deleted before the end of the transaction."""
    query = select(WebhookEndpoint).order_by(WebhookEndpoint.number)
    return session.scalars(query.with_for_update(read=True, key_share=True)).all()


def count_endpoints(session: Session) -> int:
    """Return the number of endpoints."""
    return session.scalars(select(func.count()).select_from(WebhookEndpoint)).one()


def delete_endpoint(session: Session, endpoint_id: str) -> None:
    """Delete an endpoint with its deliveries."""
    session.execute(delete(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint_id))
    session.execute(delete(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id))


def list_deliveries(
    session: Session, endpoint_id: str, before: int | None, limit: int
) -> Sequence[WebhookDelivery]:
    """Return at most `limit` deliveries of an endpoint with numbers below `before`, newest first."""
    query = select(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint_id)
    if before is not None:
        query = query.where(WebhookDelivery.number < before)
    return session.scalars(query.order_by(WebhookDelivery.number.desc()).limit(limit)).all()


def list_due(
    session: Session, now: datetime, except_for: Sequence[str], limit: int
) -> Sequence[WebhookDelivery]:
    """Return due deliveries to endpoints other than `except_for`, longest overdue first."""
    query = select(WebhookDelivery).where(
        WebhookDelivery.status == "pending",
        WebhookDelivery.next_at <= now,
        WebhookDelivery.endpoint_id.not_in(except_for),
    )
    order = (WebhookDelivery.next_at, WebhookDelivery.number)
    return session.scalars(query.order_by(*order).limit(limit)).all()


def update_delivery(
    session: Session, delivery_id: str, known_tries: int, **values: Unpack[DeliveryColumns]
) -> bool:
    """Change the delivery if it is pending and has this number of tries. Return whether it was changed."""
    result = session.execute(
        update(WebhookDelivery)
        .where(
            WebhookDelivery.id == delivery_id,
            WebhookDelivery.tries == known_tries,
            WebhookDelivery.status == "pending",
        )
        .values(**values)
    )
    assert isinstance(result, CursorResult)  # noqa: S101  # an UPDATE
    return result.rowcount == 1


def get_log(session: Session, delivery_id: str) -> list[dict[str, Any]]:
    """Return the tries of a delivery; none if it has been deleted."""
    query = select(WebhookDelivery.log).where(WebhookDelivery.id == delivery_id)
    return session.scalars(query).one_or_none() or []


def forget_ended(session: Session, before: datetime) -> None:
    """Delete deliveries that ended before a time."""
    session.execute(delete(WebhookDelivery).where(WebhookDelivery.ended_at < before))
