"""Pydantic models of the responses about models."""

from typing import Literal

from pydantic import BaseModel

from app.http.paging import Page
from contracts.model_facts import ModelFacts, ModelSizes, TemplateFacts


class ModelDetails(BaseModel):
    """Known facts about a model. Unknown facts are null."""

    checked: bool
    """Whether a worker has read the model's files. If false, every fact is null."""
    revision: str | None
    """The commit on the hub if the model is in a worker's hub cache; null if it is in a models directory."""
    architecture: str | None
    """The class that loads the model, such as `Qwen2ForCausalLM`."""
    parameters: int | None
    bytes: int | None
    """Size of the weight files."""
    max_length: int | None
    """Maximum context length in tokens; `training.max_length` must not be larger."""
    linear_modules: list[str] | None
    """Names allowed in `lora.target_modules`; null for architectures whose files do not list them."""
    sizes: ModelSizes | None
    """The decoder's dimensions; null for architectures whose files do not contain them under known names."""
    chat_template: Literal["qwen2", "own", "plain"] | None
    """`qwen2`: Qwen2's stock template. `own`: the model's own template. `plain`: no template."""
    template: TemplateFacts | None
    """What the chat template renders: roles, tools, tool calls, reasoning."""
    tokenizer: str | None
    """SHA-256 of the files of the tokenizer and the chat template. Models with the same hash share token counts."""
    license: str | None


class ModelWorker(BaseModel):
    """A worker that has the model."""

    id: str
    queue: str
    live: bool


class ModelView(ModelDetails):
    """A model as users see it. `id`, `object`, `created` and `owned_by` follow OpenAI's API."""

    id: str
    """The model's directory on the workers, as `name` or `owner/name`. Use it as a job's `model`."""
    object: Literal["model"] = "model"
    created: int
    """When a worker first reported the model, in seconds since 1970."""
    owned_by: str
    """The owner in `owner/name`, or `local`; `stepline` for a fine-tuned model."""
    available: bool
    """Whether a live worker has the model. False for a fine-tuned model, which jobs cannot train further."""
    workers: list[ModelWorker]
    base_model: str | None = None
    """The model that a fine-tuned model was trained from; null for a model on the workers."""
    job: str | None = None
    """The job that trained a fine-tuned model."""
    adapter_file: str | None = None
    """Id of the file that contains the adapter of a fine-tuned model, for `GET /v1/files/{id}/content`."""


class ModelPage(Page[ModelView]):
    """One page of the models on the workers."""

    accepts_other_ids: bool
    """Whether jobs may use unlisted models, because a live worker can download models from the hub or no worker is
    live. The server does not check these ids."""


class ModelCheck(ModelDetails):
    """The model in a job's plan."""

    id: str
    similar_id: str | None
    """If the id was not checked: an installed model with a similar name, which may have been intended."""


def details_of(facts: ModelFacts | None) -> dict[str, object]:
    """Return the ModelDetails fields for a model's facts; None if no worker has read its files."""
    names = ModelDetails.model_fields.keys() - {"checked"}
    content = (facts or ModelFacts(name="-")).model_dump(include=names)
    return {"checked": facts is not None, **content}
