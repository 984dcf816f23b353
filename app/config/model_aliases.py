"""Other names of models in requests of OpenAI's API, such as those in scripts that were written for OpenAI's models."""

from collections.abc import Sequence

from contracts.model_facts import is_model_name


def parse_aliases(pairs: Sequence[str]) -> dict[str, str]:
    """Return the models by their other names, from `name=model` pairs. Raises ValueError for an invalid or ambiguous pair."""
    found: dict[str, str] = {}
    for pair in pairs:
        alias, equals, model = (part.strip() for part in pair.partition("="))
        if not equals:
            raise ValueError(
                f"{pair!r} is not of the form name=model, such as gpt-4o-mini=Qwen/Qwen2-0.5B-Instruct"
            )
        for name in (alias, model):
            if not is_model_name(name):
                raise ValueError(
                    f"{name!r} in {pair!r} is not the name of a model, such as owner/name"
                )
        if alias in found:
            raise ValueError(f"{alias!r} has two models: {found[alias]!r} and {model!r}")
        found[alias] = model
    for alias, model in found.items():
        if model in found:
            raise ValueError(
                f"{alias!r} is another name of {model!r}, which is itself another name; name the model instead"
            )
    return found
