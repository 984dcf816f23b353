"""All API errors. The messages are in words.py."""

from collections.abc import Sequence

from app.errors.base import AppError, FieldError
from contracts.protocol import error_codes

MOST_ERRORS = 100
"""Maximum number of problems in an error response."""
MOST_IN_MESSAGE = 5
"""Maximum number of problems in the message of an error."""


class InvalidField(AppError):
    """Request fields are invalid. `problems` (one or more) and `hint` are in the caller's language."""

    code, status = "invalid_field", 400

    def __init__(self, problems: Sequence[FieldError], hint: str = "") -> None:
        parts = [
            problem.message if problem.param is None else f"{problem.param}: {problem.message}"
            for problem in problems[:MOST_IN_MESSAGE]
        ]
        if len(problems) > MOST_IN_MESSAGE:
            parts.append(f"… (+{len(problems) - MOST_IN_MESSAGE})")
        super().__init__(problems[0].param, problem="; ".join(parts), hint=hint)
        self.errors = problems[:MOST_ERRORS]


class InvalidJson(AppError):
    """The request body is not JSON."""

    code, status = "invalid_json", 400


class InvalidBody(AppError):
    """The request body as a whole is invalid. `problem` is in the caller's language."""

    code, status = "invalid_body", 400


class BodyTooDeep(AppError):
    """The JSON body is nested too deeply."""

    code, status = "body_too_deep", 400


class InvalidMultipart(AppError):
    """An upload is not multipart/form-data with a file."""

    code, status = "invalid_multipart", 400


class BadCursor(AppError):
    """A cursor does not belong to this list."""

    code, status = "bad_cursor", 400


class UnsafeCharacter(AppError):
    """A field contains a character that controls a terminal or changes the text direction."""

    code, status = "unsafe_character", 400


class BadLabelFilter(AppError):
    """A label filter does not have the form key:value."""

    code, status = "bad_label_filter", 400


class TooManyLabels(AppError):
    """An edit would give a job more labels than allowed."""

    code, status = "too_many_labels", 400


class UnknownFormat(AppError):
    """The route does not support the requested format."""

    code, status = "unknown_format", 400


class NotTogether(AppError):
    """One of two parameters has no effect in combination with the other."""

    code, status = "not_together", 400


class BadArtifactName(AppError):
    """An artifact's name is not valid."""

    code, status = "bad_artifact_name", 400


class NumberTooLarge(AppError):
    """A number sent by a worker exceeds a limit that no real run reaches."""

    code, status = "number_too_large", 400


class UnknownDataset(AppError):
    """A new job names a dataset that does not exist."""

    code, status = "dataset_not_found", 400


class NoTrainingRows(AppError):
    """The evaluation split would use all rows, leaving none for training."""

    code, status = "no_training_rows", 400


class NoTrainingRowsOfDataset(AppError):
    """The evaluation split would leave one of several datasets without training rows."""

    code, status = "no_training_rows_of_dataset", 400


class TooManyGpus(AppError):
    """The job requests more GPUs than an update has samples."""

    code, status = "too_many_gpus", 400


class UnknownModel(AppError):
    """No live worker has the model or can download it."""

    code, status = "model_not_found", 400


class DatasetInvalid(AppError):
    """An uploaded file has invalid rows."""

    code, status = "dataset_invalid", 400


class DatasetUnreadable(AppError):
    """An uploaded file cannot be read. `problem` is in the caller's language."""

    code, status = "dataset_unreadable", 400


class DatasetFailed(AppError):
    """A request names a dataset whose check found problems."""

    code, status = "dataset_failed", 400


class DatasetEmpty(AppError):
    """An uploaded file has no rows."""

    code, status = "dataset_empty", 400


class ColumnNotFound(AppError):
    """An upload maps a column that does not occur in any row of the file."""

    code, status = "column_not_found", 400


class ChecksumMismatch(AppError):
    """The SHA-256 of a received body differs from the declared one."""

    code, status = "checksum_mismatch", 400


class InvalidHost(AppError):
    """The Host header is missing, repeated or malformed."""

    code, status = "invalid_host", 400


class InvalidToken(AppError):
    """The token is missing or invalid."""

    code, status = "invalid_token", 401


class OriginNotAllowed(AppError):
    """A web page from another origin sent a request that would modify data."""

    code, status = "origin_not_allowed", 403


class PathNotFound(AppError):
    """No route has this path."""

    code, status = "path_not_found", 404


class JobNotFound(AppError):
    """No job has this id."""

    code, status = "job_not_found", 404


class FindingNotFound(AppError):
    """The job does not currently have this finding."""

    code, status = "finding_not_found", 404


class DatasetNotFound(AppError):
    """No dataset has this id."""

    code, status = "dataset_not_found", 404


class DatasetNotReviewed(AppError):
    """The review failed for a dataset that was stored by an earlier version."""

    code, status = "dataset_not_reviewed", 409


class ModelNotFound(AppError):
    """No worker has a model with this id."""

    code, status = "model_not_listed", 404


class ModelNotDeletable(AppError):
    """A model on the workers' disks cannot be deleted over the API."""

    code, status = "model_not_deletable", 403


class ModelNotInstalled(AppError):
    """No live worker has the model on its disk. `models` names the models of each live worker."""

    code, status = "model_not_installed", 400


class WorkersTooOld(AppError):
    """The live workers that could run the errand run an earlier version, which does not support it."""

    code, status = "workers_too_old", 409


class HubNotEnabled(AppError):
    """No live worker may download from the hub."""

    code, status = "hub_not_enabled", 409


class PreviewRowNotFound(AppError):
    """A preview requests a row that the dataset does not have."""

    code, status = "row_not_found", 400


class PreviewRowsTooLarge(AppError):
    """The total size of a preview's rows is too large."""

    code, status = "preview_rows_too_large", 400


class ErrandNotFound(AppError):
    """No errand has this id, or it has been deleted."""

    code, status = "errand_not_found", 404


class ErrandSuperseded(AppError):
    """The errand has ended or was given to another worker; this worker must stop it."""

    code, status = "errand_superseded", 409


class ErrandEnded(AppError):
    """The errand has ended, so it cannot be cancelled."""

    code, status = "errand_ended", 409


class FileNotFound(AppError):
    """No file has this id."""

    code, status = "file_not_found", 404


class FileOfJob(AppError):
    """A file that a job has written cannot be deleted separately from the job."""

    code, status = "file_of_job", 409


class UnknownFile(AppError):
    """A new fine-tuning job names a file that does not exist or that has no rows."""

    code, status = "file_not_found", 400


class UnsupportedMethod(AppError):
    """A fine-tuning job requests a method other than supervised training."""

    code, status = "unsupported_method", 400


class UnsupportedIntegration(AppError):
    """A fine-tuning job requests an integration."""

    code, status = "unsupported_integration", 400


class UnsupportedFilter(AppError):
    """A request for a list of fine-tuning jobs has a filter that the server does not support."""

    code, status = "unsupported_filter", 400


class FieldGivenTwice(AppError):
    """A field of OpenAI's API and our own field for the same setting are both given."""

    code, status = "field_given_twice", 400


class UploadNotFound(AppError):
    """No upload has this id."""

    code, status = "upload_not_found", 404


class UploadEnded(AppError):
    """The upload accepts no more requests."""

    code, status = "upload_ended", 409


class UploadTooLarge(AppError):
    """The declared size of an upload is above the limit."""

    code, status = "upload_too_large", 400


class TooManyUploads(AppError):
    """Too many uploads are open."""

    code, status = "too_many_uploads", 429
    retry_after_seconds = 60


class WebhookEndpointNotFound(AppError):
    """A webhook endpoint does not exist."""

    code, status = "webhook_endpoint_not_found", 404


class TooManyWebhookEndpoints(AppError):
    """There are already as many webhook endpoints as allowed."""

    code, status = "too_many_webhook_endpoints", 409


class WebhookUrlInvalid(AppError):
    """The URL is not valid for a webhook endpoint."""

    code, status = "webhook_url_invalid", 400


class WebhookAddressRefused(AppError):
    """The server does not send webhooks to this address."""

    code, status = "webhook_address_refused", 400


class WebhookTestFailed(AppError):
    """The receiver did not respond to a test."""

    code, status = "webhook_test_failed", 400


class WebhooksLocalOnly(AppError):
    """Webhook endpoints can be managed only from the server's host."""

    code, status = "webhooks_local_only", 403


class TooManyParts(AppError):
    """The upload already has the maximum number of parts."""

    code, status = "too_many_parts", 400


class PartsTooLarge(AppError):
    """The parts of an upload are larger than its declared size."""

    code, status = "parts_too_large", 400


class UploadPartNotFound(AppError):
    """A part does not belong to the upload, or is listed twice."""

    code, status = "part_not_found", 400


class Md5Mismatch(AppError):
    """The MD5 of an upload differs from the declared one."""

    code, status = "md5_mismatch", 400


class UploadSizeMismatch(AppError):
    """The total size of the chosen parts differs from the declared size."""

    code, status = "upload_size_mismatch", 400


class TooManyErrands(AppError):
    """Too many errands are waiting for a worker."""

    code, status = "too_many_errands", 429
    retry_after_seconds = 5


class DatasetNotMeasured(AppError):
    """The tokens of a dataset have not been counted with this model."""

    code, status = "dataset_not_measured", 404


class MeasurementFailed(AppError):
    """A worker could not count the tokens, and a retry would not help."""

    code, status = "measurement_failed", 400


class MeasurementUnavailable(AppError):
    """No worker has counted the tokens; a retry may succeed."""

    code, status = "measurement_unavailable", 409
    retry_after_seconds = 30


class PreviewFailed(AppError):
    """A worker could not render the rows, and a retry would not help."""

    code, status = "preview_failed", 400


class PreviewUnavailable(AppError):
    """No worker has rendered the rows; a retry may succeed."""

    code, status = "preview_unavailable", 409
    retry_after_seconds = 5


class WorkerNotFound(AppError):
    """A worker reported its models before it had sent a hello."""

    code, status = "worker_not_found", 404


class ArtifactNotFound(AppError):
    """The job has no artifact with this name."""

    code, status = "artifact_not_found", 404


class AttemptNotFound(AppError):
    """The job has no ended attempt with this number."""

    code, status = "attempt_not_found", 404


class CheckpointFileNotFound(AppError):
    """No stored or offered checkpoint of the job contains this file."""

    code, status = error_codes.CHECKPOINT_FILE_NOT_FOUND, 404


class CheckpointNotStored(AppError):
    """The adapter of a checkpoint that is only on a worker's disk."""

    code, status = "checkpoint_not_stored", 409


class CheckpointWithoutAdapter(AppError):
    """The checkpoint does not describe its adapter, because an earlier version has written it."""

    code, status = "checkpoint_without_adapter", 409


class MethodNotAllowed(AppError):
    """The path does not support the method."""

    code, status = "method_not_allowed", 405


class JobAlreadyEnded(AppError):
    """A job that has ended cannot be cancelled, paused or resumed; one that has succeeded cannot be retried."""

    code, status = "job_already_ended", 409


class CancelPending(AppError):
    """The job is being cancelled, which overrides other requests."""

    code, status = "cancel_pending", 409


class JobPaused(AppError):
    """A paused job can be resumed but not retried."""

    code, status = "job_paused", 409


class JobRunning(AppError):
    """The job is running and cannot be deleted."""

    code, status = "job_running", 409


class JobNotQueued(AppError):
    """The priority of a job can be changed only while the job is queued."""

    code, status = "job_not_queued", 409


class DoesNotFit(AppError):
    """With `require_fit`: the job is not known to fit a live worker. `reason` is in the caller's language."""

    code, status = "does_not_fit", 409


class JobNotEnded(AppError):
    """Only a job that has ended can be archived."""

    code, status = "job_not_ended", 409


class DatasetGone(AppError):
    """A job cannot run again because its dataset has been deleted."""

    code, status = "dataset_gone", 409


class SummaryNotReady(AppError):
    """The job has no summary."""

    code, status = "summary_not_ready", 409


class IdempotencyConflict(AppError):
    """An Idempotency-Key was used before with a different body."""

    code, status = "idempotency_conflict", 409


class DatasetValidating(AppError):
    """A request names a dataset that is still being checked."""

    code, status = "dataset_validating", 409
    retry_after_seconds = 5


class DatasetInUse(AppError):
    """A job that has not ended uses the dataset."""

    code, status = "dataset_in_use", 409


class AttemptSuperseded(AppError):
    """The attempt is no longer the current one; its worker must stop it."""

    code, status = error_codes.ATTEMPT_SUPERSEDED, 409


class RecordsMissing(AppError):
    """A worker finished an attempt before all of its records had arrived."""

    code, status = error_codes.RECORDS_MISSING, 409
    retry_after_seconds = 1


class CheckpointNotRecorded(AppError):
    """A worker offered a checkpoint before its record had arrived."""

    code, status = error_codes.CHECKPOINT_NOT_RECORDED, 409
    former_code = error_codes.FORMER_CHECKPOINT_NOT_RECORDED
    retry_after_seconds = 1


class ArtifactsMissing(AppError):
    """A worker reported success before it had uploaded the results."""

    code, status = "artifacts_missing", 409


class InvalidHttp(AppError):
    """The bytes received on a connection are not HTTP/1.1."""

    code, status = "invalid_http", 400


class HeadTimeout(AppError):
    """The head of a request took too long to arrive."""

    code, status = "head_timeout", 408
    retry_after_seconds = 1


class BodyTimeout(AppError):
    """A request's body arrived too slowly."""

    code, status = "body_timeout", 408
    retry_after_seconds = 1


class EditConflict(AppError):
    """The job has been edited since the version in If-Match."""

    code, status = "edit_conflict", 412


class BodyTooLarge(AppError):
    """The request body exceeds the route's limit."""

    code, status = "body_too_large", 413


class RangeNotSatisfiable(AppError):
    """No range in the Range header is within the file."""

    code, status = "range_not_satisfiable", 416

    def __init__(self, length: int) -> None:
        super().__init__("Range", length=length)
        self.headers["Content-Range"] = f"bytes */{length}"


class HostNotAllowed(AppError):
    """The server does not accept the host in the Host header."""

    code, status = "host_not_allowed", 421


class TooManyConnections(AppError):
    """One address has too many connections."""

    code, status = "too_many_connections", 429
    retry_after_seconds = 5


class TooManyStreams(AppError):
    """One address has too many streams and long polls open."""

    code, status = "too_many_streams", 429
    retry_after_seconds = 10


class StreamsFull(AppError):
    """All addresses together have too many streams and long polls open."""

    code, status = "streams_full", 429
    retry_after_seconds = 10


class HeadTooLarge(AppError):
    """The head of a request exceeds the size limit."""

    code, status = "head_too_large", 431


class InternalError(AppError):
    """A bug in the server. The log contains the traceback, with the request id."""

    code, status = "internal_error", 500


class DatabaseUnavailable(AppError):
    """The database is unreachable or too busy."""

    code, status = "database_unavailable", 503
    retry_after_seconds = 2


class StorageUnavailable(AppError):
    """The data directory cannot be written."""

    code, status = "storage_unavailable", 503
    retry_after_seconds = 10


class StorageFull(AppError):
    """The disk of the data directory or of the database is full."""

    code, status = error_codes.STORAGE_FULL, 507
    retry_after_seconds = 30
