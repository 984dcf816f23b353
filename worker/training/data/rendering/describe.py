"""Describes the output of a model's chat template: `python -m worker.training.data.rendering.describe DIRECTORY`.

It prints TemplateFacts as JSON, or nothing if the directory has no template or it cannot be rendered here. It does not load torch or the
tokenizer. The template is untrusted code, so the worker runs this program in a separate process with limits.
"""

import json
import sys
from pathlib import Path
from typing import Any

from transformers.utils.chat_template_utils import render_jinja_template

from contracts.model_facts import TemplateFacts
from worker.training.data.bounds import Bounds, OutOfBounds
from worker.training.data.rendering.answers import RenderingFailed
from worker.training.data.rendering.trial import renders_at_all, try_template

SECONDS = 1.0
"""CPU time per trial. A trial takes about a millisecond."""


def describe(directory: Path) -> TemplateFacts | None:
    """Return the facts about the template in a model's directory; None if there is no template.

    Also None if it cannot render a question and an answer: it may need a special token that only the tokenizer's class defines, and
    that training therefore has. Raises OSError, ValueError, OutOfBounds.
    """
    config = json.loads((directory / "tokenizer_config.json").read_text(encoding="utf-8"))
    chosen = _read_template(directory, config)
    if chosen is None:
        return None
    special = {
        name: value["content"] if isinstance(value, dict) else value
        for name, value in (_read_special_tokens(directory) | config).items()
        if name.endswith("_token") and isinstance(value, str | dict)
    }
    bounds = Bounds(seconds=SECONDS, runaway_seconds=2 * SECONDS)

    def render(turns: list[dict[str, Any]], tools: list[dict[str, Any]]) -> str:
        template = chosen.get("tool_use", chosen["default"]) if tools else chosen["default"]
        try:
            texts, _ = bounds.call(
                render_jinja_template,
                [turns],
                tools=tools or None,
                chat_template=template,
                **special,
            )
        except (OutOfBounds, MemoryError):
            raise
        except Exception as error:  # the template is the model's own code and may raise anything
            raise RenderingFailed(str(error)) from error
        return str(texts[0])

    with bounds.prepared():
        return try_template(render) if renders_at_all(render) else None


def _read_special_tokens(directory: Path) -> dict[str, Any]:
    """Return the contents of the file in which older models keep their special tokens."""
    file = directory / "special_tokens_map.json"
    found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found if isinstance(found, dict) else {}


def _read_template(directory: Path, config: dict[str, Any]) -> dict[str, str] | None:
    """Return the templates by name, including `default`."""
    file = directory / "chat_template.jinja"
    found = file.read_text(encoding="utf-8") if file.is_file() else config.get("chat_template")
    if isinstance(found, list):
        named = {each["name"]: each["template"] for each in found}
        return named if "default" in named else None
    return {"default": found} if isinstance(found, str) and found else None


if __name__ == "__main__":
    facts = describe(Path(sys.argv[1]))
    if facts is not None:
        print(facts.model_dump_json())
