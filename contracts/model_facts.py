"""What a worker knows about the models in its models root and its hub cache, and the message that reports it."""

from collections.abc import Callable, Iterator, Sequence
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
from contracts.dataset.conversation import ROLES
from contracts.record import Count
from contracts.values.hub_names import ModelName
from contracts.values.text import find_unsafe

MOST_MODELS = 1000
"""Maximum number of models in one report."""
MOST_MODULES = 200
"""Maximum number of linear module names or paths in a report."""
MOST_CHARACTERS = 200
"""Maximum length of a name, in characters."""
_MODEL_NAME: TypeAdapter[str] = TypeAdapter(ModelName)


def _plain(text: str) -> str:
    if find_unsafe(text):
        raise ValueError("contains a control character")
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
"""Reads a value of an unexpected type as null. A worker running a later version may send other values, and one
unreadable fact must not hide the rest."""


class TemplateFacts(Tolerant):
    """What a model's chat template renders, found by trial. The template omits or rejects everything else."""

    roles: Annotated[list[Name], Field(max_length=20)]
    """Roles: `system`, `developer` (rendered as `system` unless the template supports it), `user`, `assistant`,
    `tool`."""
    tools: bool
    """Descriptions of the tools that the assistant may call."""
    tool_calls: bool
    """The assistant's tool calls."""
    reasoning_content: bool
    """The assistant's reasoning before its last answer."""
    late_system: bool | None = None
    """A system turn after another turn; null if the worker runs an earlier version."""
    assistant_first: Annotated[bool | None, IfReadable] = None
    """A conversation that begins with an assistant turn. This and the next two are null from workers running earlier versions."""
    repeated_user: Annotated[bool | None, IfReadable] = None
    """Consecutive user turns."""
    repeated_assistant: Annotated[bool | None, IfReadable] = None
    """Consecutive assistant turns."""
    parallel_calls: Annotated[bool | None, IfReadable] = None
    """Several tool calls in one turn; null from workers running earlier versions."""


WRITES_CONTENT_ONLY = TemplateFacts(
    roles=list(ROLES),
    tools=False,
    tool_calls=False,
    reasoning_content=False,
    late_system=True,
    assistant_first=True,
    repeated_user=True,
    repeated_assistant=True,
    parallel_calls=False,
)
"""The facts about Qwen2's stock template, which also apply to a model without a template."""


class ModelSizes(Tolerant):
    """The dimensions of a model's text decoder, from which memory and work are estimated without loading it."""

    hidden: Count
    """Width of the hidden states."""
    intermediate: Count
    """Width of the feed-forward layers; with experts, of all those that process one token."""
    attention: Count
    """Width of queries, keys and values together."""
    layers: Count
    vocabulary: Count
    linear_parameters: Count
    """Weights of the linear layers, without the head. The engine stores them in 4 bits."""
    largest_linear: Count
    """Weights of the largest of these layers."""
    adapter_sides: Annotated[dict[Name, Count], Field(max_length=MOST_MODULES)]
    """Inputs plus outputs of all linear layers with this name. An adapter has rank times as many parameters."""


class ModelFacts(Tolerant):
    """Facts about a model, read from its files without loading it. Facts missing from the files are null."""

    name: str
    """The model's directory under the models root, as `name` or `owner/name`, or its id on the hub."""
    revision: Annotated[Name | None, IfReadable] = None
    """The hub's commit of a snapshot in the worker's hub cache; null for a model in the models root."""
    is_main: Annotated[bool | None, IfReadable] = None
    """Whether this commit was the hub's main branch at the last download. Null for a model in the models root, and from workers running
    earlier versions."""
    architecture: Annotated[Name | None, IfReadable] = None
    """The class that loads the model, such as `Qwen2ForCausalLM` (config.json)."""
    parameters: Annotated[Count | None, IfReadable] = None
    """Number of parameters, from the headers of the weight files."""
    bytes: Annotated[Count | None, IfReadable] = None
    """Size of the weight files."""
    max_length: Annotated[Annotated[int, Field(ge=1)] | None, IfReadable] = None
    """Maximum context length in tokens, which is also the largest `training.max_length` that the training program
    accepts."""
    linear_modules: Annotated[
        Annotated[list[Name], Field(max_length=MOST_MODULES)] | None, IfReadable
    ] = None
    """Names of the linear modules that an adapter can target, such as `q_proj`. Null if the weight files of this
    architecture use different names from the loaded model."""
    module_paths: Annotated[
        Annotated[list[Name], Field(max_length=MOST_MODULES)] | None, IfReadable
    ] = None
    """Full paths of these modules, with layer ranges (contracts/values/module_paths.py). Null if there are too many, and from
    workers running earlier versions."""
    sizes: Annotated[ModelSizes | None, IfReadable] = None
    """Null if the weight files of this architecture use different names from the loaded model, and from workers running
    earlier versions."""
    chat_template: Annotated[Literal["qwen2", "own", "plain"] | None, IfReadable] = None
    """Qwen2's stock template, the model's own template, or none (each turn is on a separate line)."""
    template: Annotated[TemplateFacts | None, IfReadable] = None
    """What the chat template renders; null if unknown."""
    tokenizer: Annotated[Name | None, IfReadable] = None
    """SHA-256 of the files that determine the tokenizer and the chat template, in hexadecimal. Models with the same files share token
    counts. Null from workers running earlier versions."""
    license: Annotated[Name | None, IfReadable] = None
    """License from the front matter of README.md, such as `apache-2.0`, or the first line of the license file."""


class ModelReport(Tolerant):
    """The models on a worker, or a part of them. It replaces what the worker has reported about the same range of names."""

    worker_id: str = Field(min_length=1, max_length=200)
    models: Annotated[list[ModelFacts], Field(max_length=MOST_MODELS)]
    after: str = ""
    """The range begins after this name, the last one of the previous part; empty for the first part."""
    has_more: bool = False
    """If true, the range ends with the last of `models`. Another part follows, perhaps only with a later report."""


def split_report(
    worker_id: str, models: Sequence[ModelFacts], *, has_unread: bool = False
) -> Iterator[ModelReport]:
    """Yield the reports that together contain all models; one if there are none.

    With `has_unread`, the last report does not replace what the worker has reported about models whose names come after it.
    """
    ordered = sorted(models, key=lambda facts: facts.name)
    after = ""
    for start in range(0, max(1, len(ordered)), MOST_MODELS):
        part = ordered[start : start + MOST_MODELS]
        has_more = has_unread or start + MOST_MODELS < len(ordered)
        yield ModelReport(worker_id=worker_id, models=part, after=after, has_more=has_more)
        after = part[-1].name if part else ""


def is_model_name(name: str) -> bool:
    """Return whether a job can refer to this model directory."""
    try:
        _MODEL_NAME.validate_python(name)
    except ValidationError:
        return False
    return True
