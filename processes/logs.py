"""Structured logs of the server and the workers: one JSON object per line on standard error.

This is the only module of this package that imports a library: structlog, which the extras `server` and `worker` install.
"""

import json
import logging
import sys
from collections.abc import Callable

import structlog


def write_json_logs(escape: Callable[[str], str], level: int = logging.INFO) -> None:
    """Send log records of structlog and the standard library through one renderer; `escape` is applied to each line."""
    shared: list[structlog.types.Processor] = [
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
                    serializer=lambda line, **options: escape(json.dumps(line, **options)),
                    ensure_ascii=False,
                ),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
