"""Names on the wire: the task, the queues, the internal paths and headers."""

TASK_NAME = "stepline.run_next"
"""The only Celery task: a ring of the doorbell. The message names no job."""

HELLO_PATH = "/internal/v1/workers"
MODELS_PATH = "/internal/v1/workers/models"
CLAIM_PATH = "/internal/v1/claim"
SYNC_PATH = "/internal/v1/attempts/{attempt_id}/sync"
FINISH_PATH = "/internal/v1/attempts/{attempt_id}/finish"
UPLOAD_PATH = "/internal/v1/attempts/{attempt_id}/artifacts/{name}"
DATASET_PATH = "/internal/v1/attempts/{attempt_id}/datasets/{dataset_id}"
CHECKPOINT_PATH = "/internal/v1/attempts/{attempt_id}/checkpoints"
BLOB_PATH = "/internal/v1/attempts/{attempt_id}/checkpoint-files/{sha256}"
EARLIER_PATH = "/internal/v1/attempts/{attempt_id}/earlier/{number}/records"
ERRAND_CLAIM_PATH = "/internal/v1/errands/claim"
ERRAND_ROWS_PATH = "/internal/v1/errands/{errand_id}/rows"
ERRAND_DATASET_PATH = "/internal/v1/errands/{errand_id}/dataset"
ERRAND_BEAT_PATH = "/internal/v1/errands/{errand_id}/beat"
ERRAND_FINISH_PATH = "/internal/v1/errands/{errand_id}/finish"

ERRAND_TOKEN_HEADER = "X-Stepline-Errand-Token"
"""The token of a claimed errand, in addition to the worker's token."""
COMMIT_HEADER = "X-Stepline-Commit"
"""The hub's commit of an imported dataset."""
SHA256_HEADER = "X-Stepline-Sha256"
"""SHA-256 of an uploaded or downloaded body, in hexadecimal."""
SHOULD_RETRY_HEADER = "X-Should-Retry"
"""`false` if a retry cannot help."""

ADAPTER_ARTIFACT = "adapter.zip"
SUMMARY_ARTIFACT = "summary.json"
RECORDS_ARTIFACT = "records.jsonl"
OUTPUT_ARTIFACT = "output.log"


def celery_queue(queue: str) -> str:
    """Return the name of the Celery queue for the rings of a job queue."""
    return f"stepline.{queue}"
