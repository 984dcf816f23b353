"""Webhook endpoints and deliveries as users see them. Times are seconds since 1970, as in OpenAI's API."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.base import Strict
from contracts.field_error import OneOf

EventType = Annotated[
    Literal["fine_tuning.job.succeeded", "fine_tuning.job.failed", "fine_tuning.job.cancelled"],
    OneOf(),
]
DeliveryStatus = Literal["pending", "delivered", "dead"]


class NewEndpoint(Strict):
    """A receiver of events."""

    name: str = Field(min_length=1, max_length=200)
    url: str = Field(min_length=1, max_length=2000)
    """An `http` or `https` URL."""
    event_types: list[EventType] = Field(min_length=1, max_length=20)
    """The types of events that are sent."""


class EndpointChange(Strict):
    """New values for an endpoint; fields that are null or absent are left unchanged."""

    name: str | None = Field(None, min_length=1, max_length=200)
    url: str | None = Field(None, min_length=1, max_length=2000)
    event_types: list[EventType] | None = Field(None, min_length=1, max_length=20)


class Rotation(Strict):
    """How to replace a secret."""

    keep_old_secret_active_for_24_hours: bool = False
    """Whether deliveries are also signed with the old secret for another 24 hours."""


class TestEvent(Strict):
    """A test."""

    event_type: EventType
    """The type of the event to send. The job in the event does not exist."""


class EndpointView(BaseModel):
    """An endpoint, without its secret."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    id: str
    name: str
    url: str
    event_types: list[str]
    created_at: int
    updated_at: int
    """Time of the last change or rotation."""
    signing_secret_hint: str
    """The last characters of the secret."""


class EndpointWithSecret(EndpointView):
    """An endpoint with its secret, which is returned only when the endpoint is created or the secret is rotated."""

    signing_secret: str
    """The key for verifying signatures: `whsec_` followed by Base64."""


class TestResult(BaseModel):
    """The result of a test to which the receiver responded."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["webhook_endpoint.test"] = "webhook_endpoint.test"
    webhook_endpoint_id: str
    event_type: str
    success: Literal[True] = True
    """Whether there was a response. `status_code` shows whether the receiver accepted the event."""
    status_code: int


class DeletedEndpoint(BaseModel):
    """A deleted endpoint."""

    object: Literal["webhook_endpoint.deleted"] = "webhook_endpoint.deleted"
    id: str
    deleted: Literal[True] = True


class Try(BaseModel):
    """One attempt to deliver an event."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    at: int
    status: int | None
    """Status code of the receiver's response; null if there was no response."""
    error: str | None
    """Why the try failed: `status`, `redirect`, `address_refused`, `unresolved`, `timeout`, `tls` or `connection`; null if it succeeded."""
    seconds: float


class DeliveryView(BaseModel):
    """An event for an endpoint."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["webhook_delivery"] = "webhook_delivery"
    id: str
    event_id: str
    event_type: str
    status: DeliveryStatus
    """`dead` after the last try has failed."""
    created_at: int
    next_at: int | None
    """When the next try is due; null if there will be none."""
    tries: list[Try]
