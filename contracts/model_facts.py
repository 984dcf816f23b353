"""What a worker knows about the models in its models root, and the message that reports it."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WrapValidator,
)

from contracts.base import Tolerant
from contracts.job import ModelName
from contracts.record import Count
from contracts.values.text import find_unsafe

MOST_MODELS = 1000
"""Maximum number of models in one report."""
MOST_MODULES = 200
"""Maximum number of names or paths of linear modules that are reported."""
MOST_CHARACTERS = 200
"""Maximum characters of a name."""
_MODEL_NAME: TypeAdapter[str] = TypeAdapter(ModelName)


def _plain(text: str) -> str:
    if find_unsafe(text):
        raise ValueError("has a control character")
    return text


def _read_or_ignore(value: Any, read: Callable[[Any], Any]) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


Name = Annotated[
    str, StringConstraints(min_length=1, max_length=MOST_CHARACTERS), AfterValidator(_plain)
]
IfReadable = WrapValidator(_read_or_ignore)
"""Reads a value of an unexpected form as null: a worker of a later version may know more kinds, and one odd fact must not hide
the others."""


class TemplateFacts(Tolerant):
    """What a model's chat template writes into the text, found by rendering trials. It leaves out or rejects everything else."""

    roles: Annotated[list[Name], Field(max_length=20)]
    """Roles of turns: `system`, `developer` (rendered as `system` unless the template knows it), `user`, `assistant`, `tool`."""
    tools: bool
    """The descriptions of the tools that the assistant may call."""
    tool_calls: bool
    """The assistant's tool calls."""
    reasoning_content: bool
    """The assistant's reasoning before its last answer."""


class ModelFacts(Tolerant):
    """Facts about one model, read from its files without loading it. Facts that the files do not contain are null."""

    name: str
    """The model's directory under the models root, as `name` or `owner/name`."""
    architecture: Annotated[Name | None, IfReadable] = None
    """The class that loads the model, such as `Qwen2ForCausalLM` (config.json)."""
    parameters: Annotated[Count | None, IfReadable] = None
    """Number of parameters (headers of the weight files)."""
    bytes: Annotated[Count | None, IfReadable] = None
    """Size of the weight files."""
    max_length: Annotated[Annotated[int, Field(ge=1)] | None, IfReadable] = None
    """Longest context in tokens, which is the largest `training.max_length` that the training program accepts."""
    linear_modules: Annotated[
        Annotated[list[Name], Field(max_length=MOST_MODULES)] | None, IfReadable
    ] = None
    """Names of the linear modules that an adapter can target, such as `q_proj`. Null if the files of this architecture do not
    name the modules as the loaded model does."""
    module_paths: Annotated[
        Annotated[list[Name], Field(max_length=MOST_MODULES)] | None, IfReadable
    ] = None
    """The whole paths of these modules, with ranges of layers (contracts/values/module_paths.py). Null if there are too many, and from
    workers of earlier versions."""
    chat_template: Annotated[Literal["qwen2", "own", "plain"] | None, IfReadable] = None
    """Qwen2's stock template, a different template of the model's own, or none (each turn is on its own line)."""
    template: Annotated[TemplateFacts | None, IfReadable] = None
    """What the chat template writes; null if it is unknown."""
    license: Annotated[Name | None, IfReadable] = None
    """Licence in the front matter of README.md, such as `apache-2.0`, or the first line of the licence file."""


class ModelReport(Tolerant):
    """All models in the models root of a worker. A report replaces the worker's earlier ones."""

    worker_id: str = Field(min_length=1, max_length=200)
    models: Annotated[list[ModelFacts], Field(max_length=MOST_MODELS)]


def is_model_name(name: str) -> bool:
    """Return whether a job can name a model's directory."""
    try:
        _MODEL_NAME.validate_python(name)
    except ValidationError:
        return False
    return True
