"""Requests of OpenAI's fine-tuning API."""

from typing import Annotated, Any, Literal

from pydantic import Field

from contracts.base import Strict
from contracts.field_error import FieldProblem, OneOf, one_error
from contracts.job import Label, LabelValue
from contracts.values.hub_names import ModelName
from contracts.wandb import WandbSettings

MOST_SAMPLES = 1024
MOST_EPOCHS = 10_000
MOST_MULTIPLIER = 5000
MOST_FILE_CHARACTERS = 200
Auto = Literal["auto"]
BatchSize = Annotated[
    Annotated[int, Field(ge=1, le=MOST_SAMPLES)] | Auto,
    one_error(FieldProblem.INVALID_COUNT_OR_AUTO, fewest=1, most=MOST_SAMPLES),
]
Epochs = Annotated[
    Annotated[int, Field(ge=1, le=MOST_EPOCHS)] | Auto,
    one_error(FieldProblem.INVALID_COUNT_OR_AUTO, fewest=1, most=MOST_EPOCHS),
]
Multiplier = Annotated[
    Annotated[float, Field(gt=0, le=MOST_MULTIPLIER)] | Auto,
    one_error(FieldProblem.INVALID_NUMBER_OR_AUTO, most=MOST_MULTIPLIER),
]
FileId = Annotated[str, Field(min_length=1, max_length=MOST_FILE_CHARACTERS)]


class Hyperparameters(Strict):
    """Hyperparameters. Null and `auto` use our defaults, or those of the preset in `stepline`."""

    batch_size: BatchSize | None = None
    """Samples per optimizer update: our effective batch size."""
    learning_rate_multiplier: Multiplier | None = None
    """Factor by which to multiply our default learning rate, 2e-4, or the learning rate in `stepline` or its preset."""
    n_epochs: Epochs | None = None
    """Number of passes over the training rows."""


class Supervised(Strict):
    """Settings of supervised training."""

    hyperparameters: Hyperparameters | None = None


class Method(Strict):
    """The training method. Only `supervised` is supported."""

    type: Annotated[Literal["supervised", "dpo", "reinforcement"], OneOf()]
    supervised: Supervised | None = None
    dpo: dict[str, Any] | None = None
    reinforcement: dict[str, Any] | None = None


class Integration(Strict):
    """A service that receives the metrics of a job. Only `wandb` is supported."""

    type: Annotated[Literal["wandb"], OneOf()]
    wandb: WandbSettings


class NewFineTuningJob(Strict):
    """A new fine-tuning job."""

    model: ModelName
    """The base model: an id from `GET /v1/models`, or of a model on the hub, or an alias that the operator has configured."""
    training_file: FileId
    """The id of a file, or of a dataset (`ds_…`)."""
    validation_file: FileId | None = None
    """The id of a file, or of a dataset (`ds_…`). If null, rows of the training file are held out."""
    hyperparameters: Hyperparameters | None = None
    """The former place for hyperparameters; those in `method.supervised.hyperparameters` take precedence."""
    method: Method | None = None
    suffix: str | None = Field(None, min_length=1, max_length=64)
    """Part of the name of the fine-tuned model, and the name of the job."""
    seed: int | None = Field(None, ge=0, le=2**31 - 1)
    """If null, our default seed is used."""
    metadata: dict[Label, LabelValue] | None = Field(None, max_length=16)
    """The labels of the job."""
    integrations: list[Integration] | None = Field(None, max_length=1)
    """At most one: mirrors the metrics to W&B, if the operator has configured it."""
    stepline: dict[str, Any] | None = None
    """Fields of our own spec that OpenAI's API does not have, such as `{"lora": {"rank": 16}}`."""
