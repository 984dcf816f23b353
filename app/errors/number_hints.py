"""Hints for numeric fields in English and Chinese: the range, and the default as an example."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.errors.field_words import BOUND_ERRORS
from contracts.failure import Language

NUMBER_ERRORS = {"int_type", "float_type", "int_from_float", "finite_number", *BOUND_ERRORS}
"""Types of pydantic's errors about numbers."""
_BOUNDS = {
    "gt": ("greater than {}", "大于 {}"),
    "ge": ("of at least {}", "不小于 {}"),
    "lt": ("less than {}", "小于 {}"),
    "le": ("at most {}", "不大于 {}"),
}


@dataclass(frozen=True)
class NumberField:
    """The declaration of a numeric field."""

    is_integer: bool
    bounds: Mapping[str, float]
    """By pydantic's names."""
    default: float | None


def number_hint(number: NumberField, language: Language) -> str:
    """Return a hint with the field's range, and its default if it has one."""
    limits = _limits({name: f"{bound:.15g}" for name, bound in number.bounds.items()}, language)
    example = None if number.default is None else f"{number.default:.15g}"
    if language == "zh":
        kind = "整数" if number.is_integer else "数字"
        return f"请填写{limits}的{kind}" + (f"，例如 {example}。" if example else "。")
    kind = "an integer" if number.is_integer else "a number"
    return f"Write {kind} {limits}" + (f", such as {example}." if example else ".")


def _limits(bounds: Mapping[str, str], language: Language) -> str:
    if bounds.keys() == {"ge", "le"}:
        low, high = bounds["ge"], bounds["le"]
        return f" {low} 到 {high} 之间" if language == "zh" else f"from {low} to {high}"
    worded = [_BOUNDS[name][language == "zh"].format(bound) for name, bound in bounds.items()]
    return ("且" if language == "zh" else " and ").join(worded)
