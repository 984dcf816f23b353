"""Tables for webhooks: the receivers' endpoints, and the deliveries to each of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables import Base, BigId


class WebhookEndpoint(Base):
    """A receiver of events."""

    __tablename__ = "webhook_endpoints"

    number: Mapped[int] = mapped_column(BigId, primary_key=True)
    id: Mapped[str] = mapped_column(String(80), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    url: Mapped[str] = mapped_column(String(2000))
    event_types: Mapped[list[str]]
    secret: Mapped[str] = mapped_column(String(100))
    """The key that signs deliveries. It is stored in plain text, because a hash of it could not sign."""
    old_secret: Mapped[str | None] = mapped_column(String(100))
    """The secret before the last rotation, if it was kept; deliveries are also signed with it until `old_secret_until`."""
    old_secret_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class WebhookDelivery(Base):
    """An event for one endpoint. It is written in the transaction that ends the job."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("ix_webhook_deliveries_status_next_at", "status", "next_at"),
        Index("ix_webhook_deliveries_endpoint_id_number", "endpoint_id", "number"),
    )

    number: Mapped[int] = mapped_column(BigId, primary_key=True)
    id: Mapped[str] = mapped_column(String(80), unique=True)
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("webhook_endpoints.id", ondelete="CASCADE"))
    event_id: Mapped[str] = mapped_column(String(80))
    """The same for all endpoints, so that a receiver with several of them can detect duplicates."""
    event_type: Mapped[str] = mapped_column(String(80))
    body: Mapped[str] = mapped_column(Text)
    """The JSON body; every try sends the same bytes."""
    status: Mapped[str] = mapped_column(String(20))
    """`pending`, `delivered` or `dead`."""
    next_at: Mapped[datetime]
    """Time at which the next try is due. During a try, the time at which another server may take it over."""
    tries: Mapped[int]
    log: Mapped[list[dict[str, Any]]] = mapped_column(JSON(none_as_null=True))
    """A Try (app/webhooks/schemas.py) for each finished try, oldest first."""
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
