"""Objects that OpenAI's clients read. Times are seconds since 1970. `stepline` is our own field."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from app.jobs.schemas import JobView
from contracts.job import JobStatus
from contracts.wandb import WandbSettings


class DeletedFile(BaseModel):
    """A deleted file."""

    object: Literal["file"] = "file"
    id: str
    deleted: Literal[True] = True


class DeletedModel(BaseModel):
    """A deleted model."""

    object: Literal["model"] = "model"
    id: str
    deleted: Literal[True] = True


class UsedHyperparameters(BaseModel):
    """The hyperparameters of a job, with numbers for those that were `auto`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    batch_size: int
    """Samples per optimizer update."""
    learning_rate_multiplier: float
    """Learning rate ÷ 2e-4."""
    n_epochs: int


class UsedSupervised(BaseModel):
    """The settings of supervised training."""

    hyperparameters: UsedHyperparameters


class UsedMethod(BaseModel):
    """The training method."""

    type: Literal["supervised"] = "supervised"
    supervised: UsedSupervised


class UsedIntegration(BaseModel):
    """A service that receives the metrics of a job."""

    type: Literal["wandb"] = "wandb"
    wandb: WandbSettings


class FineTuningError(BaseModel):
    """Why a job failed, in the caller's language."""

    code: str
    message: str
    param: str | None = None


class FineTuningJob(BaseModel):
    """A fine-tuning job."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    id: str
    """`ftjob-…`; the digits are those of our job id `job_…`."""
    created_at: int
    finished_at: int | None
    """Null until the job has ended."""
    model: str
    """The base model that is trained."""
    requested_model: str
    """Our own field: the name of the model in the request; the server may have an alias for it."""
    fine_tuned_model: str | None
    """`ft:{base}:{organization}:{suffix}:{8 digits}`; null until the job has succeeded."""
    organization_id: str
    status: JobStatus
    """`queued`, `running`, `paused`, `succeeded`, `failed` or `cancelled`."""
    hyperparameters: UsedHyperparameters
    method: UsedMethod
    training_file: str
    """The file named in the request; for a job created through our own API, the dataset's id or its repository on the hub."""
    validation_file: str | None
    result_files: list[str]
    """The id of the file with the metrics; empty until the job has succeeded."""
    trained_tokens: int | None
    """Supervised tokens in all steps; null until the job has succeeded."""
    error: FineTuningError | None
    """Null unless the job has failed."""
    seed: int
    estimated_finish: int | None
    """Null unless the job is running and its duration can be estimated."""
    integrations: list[UsedIntegration]
    """The services that receive the metrics."""
    metadata: dict[str, str]
    """The labels of the job."""
    user_provided_suffix: str | None
    adapter_file: str | None
    """Our own field: the id of the file with the adapter, for `GET /v1/files/{id}/content`. Null until the job has succeeded, and
    after its fine-tuned model has been deleted."""
    stepline: JobView
    """Our own field: the job as `GET /v1/jobs/{id}` returns it."""
