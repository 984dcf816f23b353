"""Transcript: a chat as one text with the speakers `Human:` and `Assistant:`, as in the answers of hh-rlhf."""

import re
from typing import Any

from contracts.dataset.conversation import Message
from contracts.dataset.values import read_text

_SPEAKER = re.compile(r"(?:\A|\n\n)(Human|Assistant):")


def is_transcript(value: Any) -> bool:
    """Return whether a value is the text of a chat that begins with a question and contains an answer."""
    return (
        isinstance(value, str)
        and value.lstrip("\n").startswith("Human:")
        and "\n\nAssistant:" in value
    )


def read_transcript(value: str, place: str) -> list[Message]:
    """Return the turns of a transcript without the whitespace around them."""
    _, *pieces = _SPEAKER.split(read_text(value, place).strip("\n"))
    return [
        Message("user" if speaker == "Human" else "assistant", content.strip())
        for speaker, content in zip(pieces[::2], pieces[1::2], strict=True)
    ]
