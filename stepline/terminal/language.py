"""The language of the terminal client, from --lang, else STEPLINE_LANG, else `stepline config lang`, else the locale."""

import os
from collections.abc import Mapping
from typing import Literal

from stepline.terminal.config import read_config

Language = Literal["en", "zh"]
LANGUAGES = ("en", "zh")


def choose_language(given: str | None = None, environ: Mapping[str, str] = os.environ) -> Language:
    """Return the language of messages."""
    chosen = given or environ.get("STEPLINE_LANG") or read_config().lang
    if chosen in LANGUAGES:
        return "zh" if chosen == "zh" else "en"
    locale = next((v for n in ("LC_ALL", "LC_MESSAGES", "LANG") if (v := environ.get(n))), "")
    return "zh" if locale.lower().startswith("zh") else "en"
