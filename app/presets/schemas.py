"""Response models of presets."""

from typing import Any, Literal

from pydantic import BaseModel


class PresetView(BaseModel):
    """A preset as users see it."""

    object: Literal["preset"] = "preset"
    name: str
    """Use it as a job's `preset`."""
    title: str
    """In the caller's language, like `description`."""
    description: str
    settings: dict[str, Any]
    """The fields of a JobSpec that the preset sets. A job's own fields take precedence."""
