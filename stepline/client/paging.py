"""Reads all pages of the API's lists."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from stepline.client.transport import Transport
from stepline.client.views import Page

M = TypeVar("M", bound=BaseModel)


def read_pages(
    transport: Transport, item: type[M], path: str, params: Mapping[str, Any] | None = None
) -> Iterator[M]:
    """Yield the items of all pages. Each page is requested when it is needed."""
    query = dict(params or {})
    while True:
        page: Page[M] = transport.read(Page[item], "GET", path, params=query)  # type: ignore[valid-type]
        yield from page.data
        if not page.has_more or page.cursor in {None, query.get("cursor")}:
            return
        query["cursor"] = page.cursor
