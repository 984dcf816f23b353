"""Error codes of the server that workers act on.

Servers running earlier versions send the old codes, so workers understand both. A worker that understands the new codes
sends CODES_HEADER; the server sends the old codes to all other workers.
"""

ATTEMPT_SUPERSEDED = "attempt_superseded"
RECORDS_MISSING = "records_missing"
CHECKPOINT_NOT_RECORDED = "checkpoint_not_recorded"
FORMER_CHECKPOINT_NOT_RECORDED = "checkpoint_untold"
CHECKPOINT_FILE_NOT_FOUND = "checkpoint_file_not_found"
STORAGE_FULL = "storage_full"

CODES_HEADER = "X-Stepline-Codes"
CODES_VERSION = "2"
"""Value of CODES_HEADER. Workers that know only the old codes do not send this header."""
