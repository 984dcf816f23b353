"""Where a job's metrics are mirrored on Weights & Biases (W&B)."""

from typing import Annotated

from pydantic import Field

from contracts.base import Strict

Text = Annotated[str, Field(min_length=1, max_length=128)]
Tag = Annotated[str, Field(min_length=1, max_length=64)]


class WandbSettings(Strict):
    """The run on W&B. Its id is the job's, so all attempts continue the same run."""

    project: Text
    """The project that contains the run."""
    name: Text | None = None
    """Display name of the run; null uses the id of the fine-tuning job."""
    entity: Text | None = None
    """The user or team that owns the project; null uses the default of the API key."""
    tags: list[Tag] | None = Field(None, max_length=32)
    """Tags of the run."""
