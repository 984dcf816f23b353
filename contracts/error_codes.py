"""Error codes of the server that workers act on.

A server of an earlier version sends the former codes, so a worker understands both. A worker that understands the current
codes sends CODES_HEADER; the server sends the former codes to any other worker.
"""

ATTEMPT_SUPERSEDED = "attempt_superseded"
RECORDS_MISSING = "records_missing"
CHECKPOINT_NOT_RECORDED = "checkpoint_not_recorded"
FORMER_CHECKPOINT_NOT_RECORDED = "checkpoint_untold"
CHECKPOINT_FILE_NOT_FOUND = "checkpoint_file_not_found"

CODES_HEADER = "X-Stepline-Codes"
CODES_VERSION = "2"
"""Value of CODES_HEADER. Workers that know only the former codes send no such header."""
