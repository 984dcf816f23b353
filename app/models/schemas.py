"""Response models of models."""

from typing import Literal

from pydantic import BaseModel

from app.http.paging import Page
from contracts.model_facts import ModelFacts, TemplateFacts


class ModelDetails(BaseModel):
    """What is known about a model. A fact that is unknown is null."""

    checked: bool
    """Whether a worker has read the model's files. If false, every fact is null."""
    revision: str | None
    """The hub's commit, if the model is in a worker's hub cache; null for one in a models directory."""
    architecture: str | None
    """The class that loads the model, such as `Qwen2ForCausalLM`."""
    parameters: int | None
    bytes: int | None
    """Size of the weight files."""
    max_length: int | None
    """Longest context in tokens; `training.max_length` must not be larger."""
    linear_modules: list[str] | None
    """Names that `lora.target_modules` may contain; null for architectures whose files do not say."""
    chat_template: Literal["qwen2", "own", "plain"] | None
    """`qwen2`: Qwen2's stock template. `own`: another template of the model. `plain`: the model has no template."""
    template: TemplateFacts | None
    """What the chat template writes: roles, tools, tool calls, reasoning."""
    license: str | None


class ModelWorker(BaseModel):
    """A worker that has the model."""

    id: str
    queue: str
    live: bool


class ModelView(ModelDetails):
    """A model as users see it. `id`, `object`, `created` and `owned_by` are the keys of OpenAI's API."""

    id: str
    """The model's directory on the workers, as `name` or `owner/name`; the `model` of a job."""
    object: Literal["model"] = "model"
    created: int
    """When a worker first reported the model, in seconds since 1970."""
    owned_by: str
    """The first part of `owner/name`; `local` without one."""
    available: bool
    """Whether a live worker has the model."""
    workers: list[ModelWorker]


class ModelPage(Page[ModelView]):
    """One page of the models on the workers."""

    accepts_other_ids: bool
    """Whether a job may name a model that is not listed: a live worker can download models from the hub, or no worker is live.
    The server does not check such an id."""


class ModelCheck(ModelDetails):
    """The model of a planned job."""

    id: str
    similar_id: str | None
    """If the id was not checked: an installed model with a similar name, which may be the intended one."""


def details_of(facts: ModelFacts | None) -> dict[str, object]:
    """Return the fields of ModelDetails for a model's facts; None if no worker has read its files."""
    names = ModelDetails.model_fields.keys() - {"checked"}
    content = (facts or ModelFacts(name="-")).model_dump(include=names)
    return {"checked": facts is not None, **content}
