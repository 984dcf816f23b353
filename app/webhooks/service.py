"""Rules for webhook endpoints: which are accepted, their secrets, and how their deliveries are shown."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.orm import Session

from app.db.engine import Database, database_now
from app.db.ids import is_id, new_id
from app.db.webhook_tables import WebhookDelivery, WebhookEndpoint
from app.errors.kinds import (
    TooManyWebhookEndpoints,
    WebhookAddressRefused,
    WebhookEndpointNotFound,
    WebhookTestFailed,
    WebhookUrlInvalid,
)
from app.http.paging import ObjectList, Page, decode_cursor, encode_cursor, list_objects
from app.webhooks import outbox, store
from app.webhooks.addresses import AddressRefused, UrlRefused, check_url
from app.webhooks.schemas import (
    DeletedEndpoint,
    DeliveryView,
    EndpointChange,
    EndpointView,
    EndpointWithSecret,
    NewEndpoint,
    Rotation,
    TestEvent,
    TestResult,
    Try,
)
from app.webhooks.sending import send
from app.webhooks.signatures import new_secret, signed_headers

MOST_ENDPOINTS = 16
"""Maximum number of endpoints. Each can occupy one of the server's threads while its receiver is slow."""
OVERLAP = timedelta(hours=24)
"""How long deliveries are also signed with the secret before the rotation, so that receivers have time to switch."""


def create_endpoint(
    session: Session, new: NewEndpoint, networks: Sequence[str]
) -> EndpointWithSecret:
    """Store an endpoint with a new secret."""
    _check(new.url, networks)
    if store.count_endpoints(session) >= MOST_ENDPOINTS:
        raise TooManyWebhookEndpoints(limit=MOST_ENDPOINTS)
    now = database_now(session)
    endpoint = WebhookEndpoint(
        id=new_id("we"),
        name=new.name,
        url=new.url,
        event_types=sorted(set(new.event_types)),
        secret=new_secret(),
        created_at=now,
        updated_at=now,
    )
    store.insert(session, endpoint)
    return _with_secret(endpoint)


def list_endpoints(session: Session, after: str | None, limit: int) -> ObjectList[EndpointView]:
    """Return at most `limit` endpoints, oldest first, starting after the endpoint `after`."""
    first = 0 if after is None else _require(session, after, param="after").number + 1
    found = [row for row in store.list_endpoints(session) if row.number >= first]
    page = [_view(row) for row in found[:limit]]
    return list_objects(page, has_more=len(found) > limit)


def get_endpoint(session: Session, endpoint_id: str) -> EndpointView:
    """Return an endpoint."""
    return _view(_require(session, endpoint_id))


def update_endpoint(
    session: Session, endpoint_id: str, change: EndpointChange, networks: Sequence[str]
) -> EndpointView:
    """Change the fields that are not null. Later tries of pending deliveries use the new URL."""
    endpoint = _require(session, endpoint_id, for_update=True)
    if change.url is not None:
        _check(change.url, networks)
        endpoint.url = change.url
    if change.name is not None:
        endpoint.name = change.name
    if change.event_types is not None:
        endpoint.event_types = sorted(set(change.event_types))
    if session.is_modified(endpoint):
        endpoint.updated_at = database_now(session)
    session.flush()
    return _view(endpoint)


def delete_endpoint(session: Session, endpoint_id: str) -> DeletedEndpoint:
    """Delete an endpoint and its deliveries, including pending ones."""
    store.delete_endpoint(session, _require(session, endpoint_id).id)
    return DeletedEndpoint(id=endpoint_id)


def rotate_secret(session: Session, endpoint_id: str, rotation: Rotation) -> EndpointWithSecret:
    """Replace the secret. The old one is deleted, or is also used to sign deliveries for another 24 hours."""
    endpoint, now = _require(session, endpoint_id, for_update=True), database_now(session)
    is_kept = rotation.keep_old_secret_active_for_24_hours
    endpoint.old_secret = endpoint.secret if is_kept else None
    endpoint.old_secret_until = now + OVERLAP if is_kept else None
    endpoint.secret, endpoint.updated_at = new_secret(), now
    session.flush()
    return _with_secret(endpoint)


def send_test(
    database: Database, endpoint_id: str, test: TestEvent, networks: Sequence[str]
) -> TestResult:
    """Send an event about a job that does not exist, once. Raises WebhookTestFailed if there is no response."""
    with database.reading() as session:
        endpoint, now = _require(session, endpoint_id), database_now(session)
        event = outbox.Event(test.event_type, new_id("test"), now)
        signing = secrets_at(endpoint, now.timestamp())
        url = endpoint.url
    headers = signed_headers(event.id, int(now.timestamp()), event.body, signing)
    answer = send(url, headers, event.body, networks)
    if answer.status is None:
        raise WebhookTestFailed(endpoint_id=endpoint_id, reason=answer.error or "")
    return TestResult(
        webhook_endpoint_id=endpoint_id, event_type=test.event_type, status_code=answer.status
    )


def list_deliveries(
    session: Session, endpoint_id: str, cursor: str | None, limit: int
) -> Page[DeliveryView]:
    """Return a page of an endpoint's deliveries, newest first."""
    before = decode_cursor(cursor, 1)[0] if cursor else None
    rows = store.list_deliveries(session, _require(session, endpoint_id).id, before, limit + 1)
    page = rows[:limit]
    return Page(
        data=[_delivery_view(row) for row in page],
        has_more=len(rows) > limit,
        cursor=encode_cursor(page[-1].number) if len(rows) > limit else None,
    )


def secrets_at(endpoint: WebhookEndpoint, seconds: float) -> list[str]:
    """Return the secrets with which deliveries are signed at this time, in seconds since 1970, newest first."""
    old, until = endpoint.old_secret, endpoint.old_secret_until
    is_valid = old is not None and until is not None and seconds < until.timestamp()
    return [endpoint.secret, old] if is_valid and old is not None else [endpoint.secret]


def _require(
    session: Session, endpoint_id: str, *, for_update: bool = False, param: str | None = None
) -> WebhookEndpoint:
    endpoint = (
        store.find_endpoint(session, endpoint_id, for_update=for_update)
        if is_id(endpoint_id)
        else None
    )
    if endpoint is None:
        raise WebhookEndpointNotFound(param, endpoint_id=endpoint_id)
    return endpoint


def _check(url: str, networks: Sequence[str]) -> None:
    try:
        check_url(url, networks)
    except UrlRefused as error:
        raise WebhookUrlInvalid("url") from error
    except AddressRefused as error:
        raise WebhookAddressRefused("url", address=str(error)) from error


def _view(endpoint: WebhookEndpoint) -> EndpointView:
    return EndpointView(
        id=endpoint.id,
        name=endpoint.name,
        url=endpoint.url,
        event_types=endpoint.event_types,
        created_at=int(endpoint.created_at.timestamp()),
        updated_at=int(endpoint.updated_at.timestamp()),
        signing_secret_hint=f"whsec_…{endpoint.secret[-4:]}",
    )


def _with_secret(endpoint: WebhookEndpoint) -> EndpointWithSecret:
    return EndpointWithSecret(**_view(endpoint).model_dump(), signing_secret=endpoint.secret)


def _delivery_view(delivery: WebhookDelivery) -> DeliveryView:
    is_pending = delivery.status == "pending"
    return DeliveryView(
        id=delivery.id,
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        status=delivery.status,
        created_at=int(delivery.created_at.timestamp()),
        next_at=int(delivery.next_at.timestamp()) if is_pending else None,
        tries=[Try.model_validate(each) for each in delivery.log],
    )
