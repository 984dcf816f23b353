"""Facts about the rows: how varied they are, and how many evaluation rows are also training rows.

Takes time linear in the length of the text; stores each row as 16-byte hashes, never as text.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from contracts.dataset.conversation import Document, Parsed
from contracts.dataset.facts import DataFacts, RowFacts
from contracts.verdicts.rows import is_degenerate

_INVISIBLE = re.compile("[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
"""Soft hyphen, zero-width and invisible characters, bidi controls, byte order mark."""


@dataclass
class _Rows:
    """The counts of one split."""

    exact: list[bytes] = field(default_factory=list)
    normalized: list[bytes] = field(default_factory=list)
    answers: Counter[bytes] = field(default_factory=Counter)

    def facts(self) -> RowFacts:
        return RowFacts(
            rows=len(self.exact),
            distinct_rows=len(set(self.normalized)),
            distinct_answers=len(self.answers),
            top_answer_rows=max(self.answers.values(), default=0),
        )


def measure_rows(train: Iterable[Parsed], evaluation: Iterable[Parsed]) -> DataFacts:
    """Return the facts about both splits."""
    trained, evaluated = _count(train), _count(evaluation)
    exact, normalized = set(trained.exact), set(trained.normalized)
    return DataFacts(
        train=trained.facts(),
        evaluation=evaluated.facts(),
        overlapping_rows=sum(key in exact for key in evaluated.exact),
        overlapping_rows_normalized=sum(key in normalized for key in evaluated.normalized),
    )


def data_warnings(facts: DataFacts, unwritten: Mapping[str, int]) -> list[str]:
    """Return warnings about the rows for the log. Users can then stop the job before hours of training.

    `unwritten` counts the rows by the part that the chat template omits.
    """
    warnings = [
        f"the model's chat template does not write {name}, which {rows} rows have, so the model does not learn from it"
        for name, rows in unwritten.items()
    ]
    for name, rows in (("training", facts.train), ("evaluation", facts.evaluation)):
        if is_degenerate(rows):
            warnings.append(
                f"the {name} rows hardly vary: only {rows.distinct_rows} of {rows.rows} are distinct, and "
                f"{rows.top_answer_rows} have the same answer. A low loss on them is meaningless"
            )
    if facts.overlapping_rows_normalized:
        warnings.append(
            f"{facts.overlapping_rows_normalized} of {facts.evaluation.rows} evaluation rows are also training "
            f"rows ({facts.overlapping_rows} of them exactly). Remove them from one of the two splits"
        )
    return warnings


def normalize(text: str) -> str:
    """Return the text normalised for comparison: NFKC, case folded, whitespace collapsed, invisible characters removed."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))
    return " ".join(text.casefold().split())


def _count(rows: Iterable[Parsed]) -> _Rows:
    counted = _Rows()
    for row in rows:
        turns = list(_texts(row))
        same = [(role, normalize(content)) for role, content in turns]
        counted.exact.append(_hash(turns))
        counted.normalized.append(_hash(same))
        counted.answers[_hash(turn for turn in same if turn[0] == "assistant")] += 1
    return counted


def _texts(row: Parsed) -> Iterator[tuple[str, str]]:
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


def _hash(turns: Iterable[tuple[str, str]]) -> bytes:
    digest = blake2b(digest_size=16)
    for part in _parts(turns):
        digest.update(part)
    return digest.digest()


def _parts(turns: Iterable[tuple[str, str]]) -> Iterator[bytes]:
    for role, content in turns:
        text = content.encode(errors="surrogatepass")
        yield f"{role}:{len(text)}:".encode()
        yield text
