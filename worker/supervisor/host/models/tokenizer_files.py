"""The identity of a model's tokenizer and chat template: a hash of their files. Does not load the tokenizer."""

import hashlib
from pathlib import Path

_FILES = (
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "merges.txt",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
_TEMPLATES = "additional_chat_templates"


def identify_tokenizer(directory: Path, model_type: str) -> str | None:
    """Return the hash in hexadecimal; None if there are no such files. Raises OSError.

    `model_type`: from config.json; transformers uses it to choose the tokenizer class.
    """
    paths = [directory / name for name in _FILES]
    paths += sorted((directory / _TEMPLATES).glob("*.jinja"))
    found = [path for path in paths if path.is_file()]
    if not found:
        return None
    digest = hashlib.sha256(model_type.encode(errors="replace"))
    for path in found:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"\n{path.relative_to(directory)} {content}".encode(errors="replace"))
    return digest.hexdigest()
