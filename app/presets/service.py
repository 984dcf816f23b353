"""Rules for presets: which exist, and how they complete a submitted spec."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationError
from pydantic_core import InitErrorDetails

from app.presets.catalog import PRESETS, Preset
from app.presets.schemas import PresetView
from contracts.failure import Language
from contracts.field_error import FieldProblem, field_error
from contracts.job import JobSpec


def list_presets(language: Language) -> list[PresetView]:
    """Return all presets, general ones first."""
    return [_view(preset, language) for preset in PRESETS.values()]


def fill_in(body: Any) -> Any:
    """Return a submitted spec, completed with the preset's fields that it does not set itself.

    Raises a ValidationError at `preset` if no preset has this name. Everything else is left to the validation of the spec.
    """
    name = body.get("preset") if isinstance(body, dict) else None
    if not isinstance(name, str):
        return body
    preset = PRESETS.get(name)
    if preset is None:
        error = field_error(FieldProblem.UNKNOWN_PRESET, options=list(PRESETS))
        details = InitErrorDetails(type=error, loc=("preset",), input=name)
        raise ValidationError.from_exception_data("JobSpec", [details])
    return merge(preset.settings, body)


SubmittedSpec = Annotated[JobSpec, BeforeValidator(fill_in)]
"""A spec in a request, completed with the fields of its preset."""


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two nested objects; where both have a value, the one in `above` takes precedence."""
    merged = deepcopy(dict(below))
    for name, value in above.items():
        lower = merged.get(name)
        if isinstance(lower, dict) and isinstance(value, dict):
            merged[name] = merge(lower, value)
        else:
            merged[name] = value
    return merged


def _view(preset: Preset, language: Language) -> PresetView:
    return PresetView(
        name=preset.name,
        title=preset.title[language],
        description=preset.description[language],
        settings=dict(preset.settings),
    )
