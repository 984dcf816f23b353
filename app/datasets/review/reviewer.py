"""Reads the rows of a stored dataset once and applies all checks and counts."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from app.datasets.review.checks import refusals, secrets, texts
from app.datasets.review.checks.copies import Copies
from app.datasets.review.checks.fields import find_field
from app.datasets.review.checks.near_copies import MOST_CHARACTERS, NearCopies
from app.datasets.review.checks.scripts import Scripts
from app.datasets.review.findings import (
    SHOWN_KINDS,
    SHOWN_PLACES,
    Finding,
    Place,
    Review,
    WarningCode,
)
from app.datasets.review.statistics import Measures
from contracts.dataset.comparison import row_texts
from contracts.dataset.conversation import Conversation, Document, Message, Parsed
from contracts.dataset.rows import parse_row

SAMPLED_ROWS = 20_000
"""Near duplicates and languages are checked in at most about this many rows."""
SAMPLED_BLOCK = 100
"""The sample consists of blocks of consecutive rows, because near duplicates are often close to each other."""
_ROWS_PER_CLOCK = 256


@dataclass(frozen=True)
class Reviewed:
    """A review, and the hashes of the dataset's distinct rows (`checks/copies.py`)."""

    review: Review
    hashes: bytes


def review_rows(
    lines: Iterable[bytes], rows: int, is_late: Callable[[], bool] = lambda: False
) -> Reviewed | None:
    """Review the lines of a stored dataset, which has `rows` rows. Return None if no row can be read.

    Stops reading when `is_late` returns True; the review then covers the rows read so far.
    """
    found, measures, copies = _Findings(), Measures(), Copies()
    near, scripts = NearCopies(), Scripts()
    stride = math.ceil(rows / SAMPLED_ROWS)
    for number, (row, parsed) in enumerate(_parse(lines), start=1):
        measures.add(parsed)
        earlier = copies.add(number, row_texts(parsed))
        if earlier is not None:
            found.add(WarningCode.DUPLICATES, Place(row=number, same_as_row=earlier))
        elif (number - 1) // SAMPLED_BLOCK % max(1, stride) == 0:
            text = _compared_text(parsed)[:MOST_CHARACTERS]
            near.add(number, text)
            scripts.add(number, text)
        _check_texts(number, row, parsed, found)
        if number % _ROWS_PER_CLOCK == 0 and is_late():
            break
    if not measures.rows:
        return None
    for number, earlier in near.find():
        found.add(WarningCode.NEAR_DUPLICATES, Place(row=number, same_as_row=earlier))
    for number, script in scripts.find_foreign():
        found.add(WarningCode.OTHER_LANGUAGE, Place(row=number, found=script))
    review = Review(
        reviewed_rows=measures.rows,
        compared_rows=len(near),
        findings=found.list(),
        statistics=measures.statistics(scripts.rows, copies.rows_with_copies),
    )
    return Reviewed(review, copies.dump())


class _Findings:
    """The findings so far."""

    def __init__(self) -> None:
        self._rows: Counter[WarningCode] = Counter()
        self._found: dict[WarningCode, Counter[str]] = {}
        self._places: dict[WarningCode, list[Place]] = {}

    def add(self, code: WarningCode, place: Place) -> None:
        """Count a row."""
        self._rows[code] += 1
        if place.found is not None:
            self._found.setdefault(code, Counter())[place.found] += 1
        places = self._places.setdefault(code, [])
        if len(places) < SHOWN_PLACES:
            places.append(place)

    def shows(self, code: WarningCode) -> bool:
        """Return whether the next place of this finding will be shown."""
        return self._rows[code] < SHOWN_PLACES

    def list(self) -> list[Finding]:
        """Return the findings in the order of their codes."""
        return [
            Finding(
                code=code,
                rows=self._rows[code],
                found=dict(self._found.get(code, Counter()).most_common(SHOWN_KINDS)),
                places=self._places[code],
            )
            for code in WarningCode
            if self._rows[code]
        ]


def _parse(lines: Iterable[bytes]) -> Iterator[tuple[Any, Parsed]]:
    for number, line in enumerate(lines, start=1):
        row: Any = None
        parsed: Parsed
        try:
            row = json.loads(line)
            parsed = parse_row(row, number)
        except (ValueError, RecursionError):  # accepted by an earlier version
            parsed = Document("")
        yield row, parsed


def _check_texts(number: int, row: Any, parsed: Parsed, found: _Findings) -> None:
    """Add the problems found in the texts of a row, each kind once per row."""
    seen: set[WarningCode] = set()

    def add(code: WarningCode, role: str, fragment: str, what: str | None = None) -> None:
        if code in seen:
            return
        seen.add(code)
        field = find_field(row, role, fragment) if found.shows(code) else None
        found.add(code, Place(row=number, field=field, found=what))

    for role, text in row_texts(parsed):
        token = texts.find_special_token(text)
        if token is not None and role != "tools":
            add(WarningCode.SPECIAL_TOKENS, role, token, token)
        garbled = texts.find_garbled(text)
        if garbled is not None:
            add(WarningCode.GARBLED_TEXT, role, garbled)
        secret = secrets.find_secret(text)
        if secret is not None:
            kind, fragment = secret
            add(WarningCode.SECRETS, role, fragment, kind)
    if isinstance(parsed, Conversation) and parsed.form == "preference" and not parsed.is_trained:
        add(WarningCode.UNANSWERED, "user", parsed.turns[-1].content)
    for answer in _trained_answers(parsed):
        if not answer.content.strip() and not answer.tool_calls:
            add(WarningCode.EMPTY_ANSWERS, "assistant", "")
        elif refusals.is_refusal(answer.content):
            add(WarningCode.REFUSALS, "assistant", answer.content[: refusals.HEAD_CHARACTERS])


def _trained_answers(row: Parsed) -> Iterator[Message]:
    if isinstance(row, Conversation):
        yield from (turn for turn in row.turns if turn.role == "assistant" and turn.trained)


def _compared_text(row: Parsed) -> str:
    """Return the text of a row without its system prompt and tools, which many rows share."""
    ignored = ("system", "developer", "tools")
    return "\n".join(text for role, text in row_texts(row) if role not in ignored)
