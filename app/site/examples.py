"""Serves the single-file web client in examples/ from the API's own origin, so that it does not need CORS."""

import sys
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from app.errors.kinds import PathNotFound

PLACES = (
    Path(__file__).parent.parent.parent / "examples" / "poll.html",  # in a checkout
    Path(sys.prefix) / "share" / "stepline" / "poll.html",  # in an installation
)

router = APIRouter(include_in_schema=False)


@router.get("/examples/poll.html")
def get_poll_example() -> FileResponse:
    """Return the example page. Raises PathNotFound if it is not installed."""
    for place in PLACES:
        if place.is_file():
            return FileResponse(
                place, media_type="text/html", headers={"Cache-Control": "no-cache"}
            )
    raise PathNotFound(path="/examples/poll.html")
