"""Compares dataset rows: their texts, the normalized form of a text, and the hash of a row.

Rows are compared as conversations, regardless of their format in the file. The server uses this for its review of a dataset, and
the training program for the facts of a run, so that both count the same duplicates.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from contracts.dataset.conversation import Document, Parsed

_INVISIBLE = re.compile("[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
"""Soft hyphen, zero-width and invisible characters, bidi controls, byte order mark."""


_PIECE_CHARACTERS = 1000
_LONGEST_RUN = 32
"""Real text has at most about 30 consecutive combining marks (UAX #15, stream-safe text format)."""


def normalize(text: str) -> str:
    """Return the text normalized for comparison: NFKC, case folded, whitespace collapsed, invisible characters removed."""
    if not text.isascii():
        text = "".join(map(_to_nfkc, _pieces(_INVISIBLE.sub("", text))))
    return " ".join(text.casefold().split())


def _to_nfkc(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _pieces(text: str) -> Iterator[str]:
    """Yield the parts of a text, each with whole characters.

    Sorting a run of combining marks takes quadratic time, which would be hours for a hostile row.
    """
    start = 0
    while start < len(text):
        end = min(start + _PIECE_CHARACTERS, len(text))
        limit = min(end + _LONGEST_RUN, len(text))
        while end < limit and (
            unicodedata.combining(text[end]) or "\u1160" <= text[end] <= "\u11ff"
        ):
            end += 1
        yield text[start:end]
        start = end


def row_texts(row: Parsed) -> Iterator[tuple[str, str]]:
    """Yield each text of a row with its role. A document counts as text of the assistant."""
    if isinstance(row, Document):
        yield "assistant", row.text
        return
    if row.tools:
        yield "tools", json.dumps(row.tools, sort_keys=True)
    for turn in row.turns:
        if turn.reasoning_content:
            yield "assistant", turn.reasoning_content
        yield turn.role, turn.content
        for call in turn.tool_calls:
            yield turn.role, f"{call.name} {json.dumps(call.arguments, sort_keys=True)}"


def hash_texts(texts: Iterable[tuple[str, str]]) -> bytes:
    """Return a hash of 16 bytes of the roles and texts."""
    digest = blake2b(digest_size=16)
    for part in _parts(texts):
        digest.update(part)
    return digest.digest()


def _parts(texts: Iterable[tuple[str, str]]) -> Iterator[bytes]:
    for role, content in texts:
        text = content.encode(errors="surrogatepass")
        yield f"{role}:{len(text)}:".encode()
        yield text
