"""The worker's logs: one JSON object per line on stderr, with job_id and attempt_id if they are bound.

Celery's own log lines use the same format, because they pass through the standard library's root logger.
"""

import json
import logging
import sys
from typing import Any

import structlog

from contracts.values.text import escape_json


def configure_logging(level: int = logging.INFO) -> None:
    """Send structlog and the standard library's logging to stderr as JSON lines."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    # The standard library's handlers are safe across a fork; structlog's own printers are not.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(
                    serializer=lambda line, **options: escape_json(json.dumps(line, **options)),
                    ensure_ascii=False,
                ),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    for chatty in ("httpx2", "httpcore2", "filelock"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
