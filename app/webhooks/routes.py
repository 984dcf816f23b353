"""Public routes for webhook endpoints. Because the server has no API keys yet, only its own host may use them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from app.config.hosts import is_loopback
from app.config.settings import Settings
from app.db.engine import DatabaseDep
from app.errors.kinds import WebhooksLocalOnly
from app.http.json_body import JsonRoute
from app.http.paging import ObjectList, Page
from app.webhooks import service
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
)

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""Headers that proxies add to requests from other hosts."""


async def require_loopback(request: Request) -> None:
    """Reject requests from other hosts, because an endpoint makes the server send requests.

    A proxy on the server's host also has a loopback address. What it forwards is rejected, unless the operator has named the
    proxy in STEPLINE_TRUSTED_PROXIES: `request.client` is then the client of the proxy.
    """
    settings: Settings = request.app.state.settings
    is_forwarded = any(name in request.headers for name in _FORWARDED)
    if request.client is None or not is_loopback(request.client.host):
        raise WebhooksLocalOnly
    if is_forwarded and not settings.trusted_proxies:
        raise WebhooksLocalOnly


router = APIRouter(
    prefix="/v1/webhook_endpoints",
    tags=["webhooks"],
    route_class=JsonRoute,
    dependencies=[Depends(require_loopback)],
)


def _networks(request: Request) -> list[str]:
    settings: Settings = request.app.state.settings
    return settings.webhook_networks


@router.post("")
def create_webhook_endpoint(
    new: NewEndpoint, request: Request, database: DatabaseDep
) -> EndpointWithSecret:
    """Create an endpoint. The response contains its secret."""
    with database.writing() as session:
        return service.create_endpoint(session, new, _networks(request))


@router.get("")
def list_webhook_endpoints(
    database: DatabaseDep,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> ObjectList[EndpointView]:
    """List the endpoints, oldest first."""
    with database.reading() as session:
        return service.list_endpoints(session, after, limit)


@router.get("/{endpoint_id}")
def get_webhook_endpoint(endpoint_id: str, database: DatabaseDep) -> EndpointView:
    """Return an endpoint."""
    with database.reading() as session:
        return service.get_endpoint(session, endpoint_id)


@router.post("/{endpoint_id}")
def update_webhook_endpoint(
    endpoint_id: str, change: EndpointChange, request: Request, database: DatabaseDep
) -> EndpointView:
    """Change the name, the URL or the events of an endpoint."""
    with database.writing() as session:
        return service.update_endpoint(session, endpoint_id, change, _networks(request))


@router.delete("/{endpoint_id}")
def delete_webhook_endpoint(endpoint_id: str, database: DatabaseDep) -> DeletedEndpoint:
    """Delete an endpoint and its deliveries."""
    with database.writing() as session:
        return service.delete_endpoint(session, endpoint_id)


@router.post("/{endpoint_id}/rotate_secret")
def rotate_webhook_secret(
    endpoint_id: str, database: DatabaseDep, rotation: Rotation | None = None
) -> EndpointWithSecret:
    """Replace the secret. The old one is deleted, or is also used to sign deliveries for another 24 hours."""
    with database.writing() as session:
        return service.rotate_secret(session, endpoint_id, rotation or Rotation())


@router.post("/{endpoint_id}/test")
def send_test_webhook(
    endpoint_id: str, test: TestEvent, request: Request, database: DatabaseDep
) -> TestResult:
    """Send a test event to an endpoint, and wait for its response."""
    return service.send_test(database, endpoint_id, test, _networks(request))


@router.get("/{endpoint_id}/deliveries")
def list_webhook_deliveries(
    endpoint_id: str,
    database: DatabaseDep,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Page[DeliveryView]:
    """List the deliveries to an endpoint, newest first, with every try."""
    with database.reading() as session:
        return service.list_deliveries(session, endpoint_id, cursor, limit)
