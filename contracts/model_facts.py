"""What a worker knows about the models in its models root, and the message that reports it."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from contracts.base import Tolerant
from contracts.record import Count

MOST_MODELS = 1000
"""Maximum number of models in one report."""
MOST_MODULES = 200
"""Maximum number of names of linear modules that are reported."""
MOST_CHARACTERS = 200
"""Maximum characters of a name."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=MOST_CHARACTERS)]


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

    name: Name
    """The model's directory under the models root, as `name` or `owner/name`."""
    architecture: Name | None = None
    """The class that loads the model, such as `Qwen2ForCausalLM` (config.json)."""
    parameters: Count | None = None
    """Number of parameters (headers of the weight files)."""
    bytes: Count | None = None
    """Size of the weight files."""
    max_length: Annotated[int, Field(ge=1)] | None = None
    """Longest context in tokens, which is the largest `training.max_length` that the training program accepts."""
    linear_modules: Annotated[list[Name], Field(max_length=MOST_MODULES)] | None = None
    """Names of the linear modules that an adapter can target, such as `q_proj`. Null if the files of this architecture do not
    name the modules as the loaded model does."""
    chat_template: Literal["qwen2", "own", "plain"] | None = None
    """Qwen2's stock template, a different template of the model's own, or none (each turn is on its own line)."""
    template: TemplateFacts | None = None
    """What the chat template writes; null if it is unknown."""
    license: Name | None = None
    """Licence in the front matter of README.md, such as `apache-2.0`, or the first line of the licence file."""


class ModelReport(Tolerant):
    """All models in the models root of a worker. A report replaces the worker's earlier ones."""

    worker_id: str = Field(min_length=1, max_length=200)
    models: Annotated[list[ModelFacts], Field(max_length=MOST_MODELS)]
