"""The server's logs: one JSON object per line on standard error, with request, job and attempt ids where known."""

import logging

from contracts.values.text import escape_json
from processes.logs import write_json_logs


def configure_logging() -> None:
    """Write log records of structlog and the standard library as JSON lines; the server itself logs each request."""
    write_json_logs(escape_json)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = name != "uvicorn.access"
