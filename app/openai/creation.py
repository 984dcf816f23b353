"""Translates a new fine-tuning job into our spec, and errors about our fields into errors about OpenAI's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlalchemy.orm import Session

from app.errors.base import AppError, FieldError
from app.errors.kinds import (
    FieldGivenTwice,
    FileNotFound,
    InvalidField,
    UnknownFile,
    UnsupportedIntegration,
    UnsupportedMethod,
)
from app.files import service as files
from app.openai.schemas.requests import Hyperparameters, NewFineTuningJob
from app.presets.service import fill_in, merge
from contracts.job import JobSpec, TrainingSpec

EXTENSION = "stepline"
"""The field that contains our own spec."""
MOST_PER_DEVICE = 4
"""The effective batch is split into accumulation steps of at most this many samples, which is our default."""
DEFAULT_LEARNING_RATE = TrainingSpec().learning_rate
_LEARNING_RATE = "training.learning_rate"


def to_spec(session: Session, new: NewFineTuningJob) -> JobSpec:
    """Return the spec of a new job.

    Raises UnsupportedMethod, UnsupportedIntegration, UnknownFile, FieldGivenTwice, RequestValidationError.
    """
    _reject_unsupported(new)
    given = _given_fields(session, new)
    own = new.stepline or {}
    _reject_duplicates(given, own, _names(new))
    try:
        body = fill_in(merge(own, given))
        multiplier = _hyperparameters(new)[0].get("learning_rate_multiplier")
        if multiplier is not None:
            body = _multiply(body, multiplier)
        return JobSpec.model_validate(body)
    except ValidationError as error:
        found = [
            {**each, "loc": ("body", *_rename_location(each["loc"], new))}
            for each in error.errors()
        ]
        raise RequestValidationError(found) from error


@contextmanager
def renamed_errors(new: NewFineTuningJob) -> Iterator[None]:
    """Replace the fields of our spec with OpenAI's fields in errors."""
    try:
        yield
    except InvalidField as error:
        problems = [
            FieldError(param=_rename(each.param, new), code=each.code, message=each.message)
            for each in error.errors or ()
        ]
        raise InvalidField(problems, hint=str(error.figures["hint"])) from error
    except AppError as error:
        error.param = _rename(error.param, new)
        if "field" in error.figures:
            error.figures["field"] = error.param
        raise


def find_dataset(session: Session, source: str, param: str) -> str:
    """Return the id of a file's dataset, or the given dataset id. Raises UnknownFile."""
    if source.startswith("ds_"):
        return source
    try:
        return files.get_row(session, source)[1].id
    except FileNotFound as error:
        raise UnknownFile(param, file=source) from error


def multiplier_of(learning_rate: float) -> float:
    """Return a learning rate as a multiple of our default, rounded to hide errors of the division."""
    return float(f"{learning_rate / DEFAULT_LEARNING_RATE:.6g}")


def _reject_unsupported(new: NewFineTuningJob) -> None:
    if new.method is not None:
        others = {"dpo": new.method.dpo, "reinforcement": new.method.reinforcement}
        for name, settings in others.items():
            if new.method.type == name or settings is not None:
                raise UnsupportedMethod("method.type", method=name)
    if new.integrations:
        first = new.integrations[0]
        kind = first.get("type") if isinstance(first, dict) else first
        raise UnsupportedIntegration("integrations", integration=str(kind)[:100])


def _given_fields(session: Session, new: NewFineTuningJob) -> dict[str, Any]:
    """Return the part of our spec that OpenAI's fields set, without the learning rate."""
    dataset: dict[str, Any] = {"train": find_dataset(session, new.training_file, "training_file")}
    if new.validation_file is not None:
        dataset["eval"] = find_dataset(session, new.validation_file, "validation_file")
    training: dict[str, Any] = {} if new.seed is None else {"seed": new.seed}
    chosen, _ = _hyperparameters(new)
    if "n_epochs" in chosen:
        training["epochs"] = chosen["n_epochs"]
    if "batch_size" in chosen:
        training |= _split_batch(chosen["batch_size"])
    given: dict[str, Any] = {"model": new.model, "dataset": dataset}
    if training:
        given["training"] = training
    if new.suffix is not None:
        given["name"] = new.suffix
    if new.metadata:
        given["labels"] = dict(new.metadata)
    return given


def _split_batch(samples: int) -> dict[str, int]:
    """Split an effective batch into accumulation steps; return the samples per step and the number of steps."""
    largest = max(n for n in range(1, MOST_PER_DEVICE + 1) if samples % n == 0)
    return {"per_device_batch_size": largest, "gradient_accumulation_steps": samples // largest}


def _hyperparameters(new: NewFineTuningJob) -> tuple[dict[str, Any], str]:
    """Return the hyperparameters that are not `auto`, and the path of the object that contains them."""
    supervised = new.method.supervised if new.method else None
    newer = supervised.hyperparameters if supervised else None
    path = "hyperparameters" if newer is None else "method.supervised.hyperparameters"
    return _chosen(new.hyperparameters) | _chosen(newer), path


def _chosen(given: Hyperparameters | None) -> dict[str, Any]:
    fields = {} if given is None else given.model_dump(exclude_none=True)
    return {name: value for name, value in fields.items() if value != "auto"}


def _multiply(body: dict[str, Any], multiplier: float) -> dict[str, Any]:
    training = body.get("training")
    base = training.get("learning_rate") if isinstance(training, dict) else None
    rate = DEFAULT_LEARNING_RATE if base is None else base
    if not isinstance(rate, int | float) or isinstance(rate, bool):
        return body  # the validation of the spec rejects it
    product = float(f"{rate * multiplier:.12g}")  # 2e-4 × 3 is 6e-4
    return merge(body, {"training": {"learning_rate": product}})


def _reject_duplicates(
    given: Mapping[str, Any], own: Mapping[str, Any], names: Mapping[str, str], above: str = ""
) -> None:
    for name, value in given.items():
        if name not in own:
            continue
        path = f"{above}{name}"
        if isinstance(value, dict) and isinstance(own[name], dict):
            _reject_duplicates(value, own[name], names, f"{path}.")
        else:
            param = f"{EXTENSION}.{path}"
            raise FieldGivenTwice(param, field=param, other=names.get(path, path))


def _names(new: NewFineTuningJob) -> dict[str, str]:
    """Return the names of OpenAI's fields by the paths of ours."""
    chosen, above = _hyperparameters(new)
    names = {
        "model": "model",
        "dataset": "training_file",
        "dataset.train": "training_file",
        "dataset.eval": "validation_file",
    }
    if new.suffix is not None:
        names["name"] = "suffix"
    if new.seed is not None:
        names["training.seed"] = "seed"
    for theirs, ours in (
        ("n_epochs", ("training.epochs",)),
        ("learning_rate_multiplier", (_LEARNING_RATE,)),
        (
            "batch_size",
            ("training.per_device_batch_size", "training.gradient_accumulation_steps"),
        ),
    ):
        if theirs in chosen:
            names |= dict.fromkeys(ours, f"{above}.{theirs}")
    return names


def _rename(param: str | None, new: NewFineTuningJob) -> str | None:
    """Return the path of the request's field for a path of our spec."""
    if param is None:
        return None
    if param == "labels" or param.startswith("labels."):
        key = param.removeprefix("labels").removeprefix(".")
        own = (new.stepline or {}).get("labels")
        if not key or not isinstance(own, dict) or key not in own:
            return f"metadata{param.removeprefix('labels')}"
    return _names(new).get(param, f"{EXTENSION}.{param}")


def _rename_location(location: tuple[str | int, ...], new: NewFineTuningJob) -> list[str | int]:
    parts = [part for part in location if isinstance(part, int) or not part.startswith("(")]
    known = _names(new).get(".".join(map(str, parts)))
    return [EXTENSION, *location] if known is None else list(known.split("."))
