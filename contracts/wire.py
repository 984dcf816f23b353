"""Names on the wire: the task, the queues, the internal paths and headers."""

TASK_NAME = "stepline.run_next"
"""The only Celery task: a ring of the doorbell, which does not carry a job."""

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

SHA256_HEADER = "X-Stepline-Sha256"
"""SHA-256 of an uploaded or downloaded body, in hexadecimal."""
SHOULD_RETRY_HEADER = "X-Should-Retry"
"""`false` if a retry cannot help."""

ADAPTER_ARTIFACT = "adapter.zip"
SUMMARY_ARTIFACT = "summary.json"
RECORDS_ARTIFACT = "records.jsonl"
OUTPUT_ARTIFACT = "output.log"


def celery_queue(queue: str) -> str:
    """Return the name of the Celery queue that carries a job queue's rings."""
    return f"stepline.{queue}"
