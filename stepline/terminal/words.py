"""Chooses the language of a text of the terminal client and fills in its values."""

from stepline.terminal.language import Language, choose_language
from stepline.terminal.texts.help import HELP
from stepline.terminal.texts.labels import LABELS
from stepline.terminal.texts.options import OPTIONS
from stepline.terminal.texts.sentences import SENTENCES

WORDS: dict[str, tuple[str, str]] = HELP | OPTIONS | SENTENCES | LABELS
"""English and Chinese, by key."""


def say(key: str, language: Language | None = None, /, **values: object) -> str:
    """Return a sentence in `language`, or in the language of the environment."""
    english, chinese = WORDS[key]
    chosen = choose_language() if language is None else language
    return (chinese if chosen == "zh" else english).format(**values)
