"""The outbox: stores the event of a job's end for each endpoint, in the transaction that ends the job."""

import json
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.orm import Session

from app.db.ids import new_id
from app.db.webhook_tables import WebhookDelivery
from app.webhooks import store
from contracts.job import JobStatus


@dataclass(frozen=True)
class Event:
    """An event about the end of a job."""

    type: str
    job_id: str
    at: datetime
    id: str = field(default_factory=lambda: new_id("evt"))
    """The same for all endpoints."""

    @property
    def body(self) -> str:
        """The JSON body."""
        content = {
            "id": self.id,
            "object": "event",
            "created_at": int(self.at.timestamp()),
            "type": self.type,
            "data": {"id": self.job_id},
        }
        return json.dumps(content, separators=(",", ":"))


def add_end_of_job(session: Session, job_id: str, status: JobStatus, now: datetime) -> None:
    """Store the event of a job's end for each endpoint that is subscribed to it. The deliveries are due immediately."""
    event = Event(f"fine_tuning.job.{status.value}", job_id, now)
    for endpoint in store.lock_endpoints(session):
        if event.type in endpoint.event_types:
            delivery = WebhookDelivery(
                id=new_id("whd"),
                endpoint_id=endpoint.id,
                event_id=event.id,
                event_type=event.type,
                body=event.body,
                status="pending",
                next_at=event.at,
                tries=0,
                log=[],
                created_at=event.at,
            )
            store.insert(session, delivery)
