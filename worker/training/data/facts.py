"""Facts about the rows: how varied they are, and how many evaluation rows are also training rows.

Takes time linear in the length of the text; stores each row as 16-byte hashes, never as text.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from contracts.dataset.comparison import hash_texts, normalize, row_texts
from contracts.dataset.conversation import Parsed
from contracts.dataset.facts import DataFacts, RowFacts
from contracts.verdicts.rows import is_degenerate


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
        f"the model's chat template does not render {name}, which {rows} rows have, so the model does not learn from it"
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


def _count(rows: Iterable[Parsed]) -> _Rows:
    counted = _Rows()
    for row in rows:
        turns = list(row_texts(row))
        same = [(role, normalize(content)) for role, content in turns]
        counted.exact.append(hash_texts(turns))
        counted.normalized.append(hash_texts(same))
        counted.answers[hash_texts(turn for turn in same if turn[0] == "assistant")] += 1
    return counted
