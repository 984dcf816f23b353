"""The worker's logs: one JSON object per line on stderr, with job_id and attempt_id if they are bound.

Celery's own log lines use the same format, because they pass through the standard library's root logger.
"""

import logging

from contracts.values.text import escape_json
from processes.logs import write_json_logs


def configure_logging(level: int = logging.INFO) -> None:
    """Send structlog and the standard library's logging to stderr as JSON lines."""
    write_json_logs(escape_json, level)
    logging.captureWarnings(capture=True)
    for chatty in ("httpx2", "httpcore2", "filelock"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
