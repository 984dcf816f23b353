"""Rules about the rows: whether a low loss is meaningful."""

from contracts.dataset.facts import DataFacts, RowFacts
from contracts.verdicts.verdict import Verdict, VerdictCode

FEWEST_EVAL_ROWS = 10
"""Minimum number of evaluation rows for rating a figure as good."""
LEAKED_SHARE = 0.05
"""The evaluation data counts as leaked if at least this fraction of its rows is also in the training data."""
TOP_ANSWER_SHARE = 0.9
"""The data is degenerate if at least this fraction of the rows has the same answer."""
FEWEST_ROWS_FOR_SHARES = 20
"""With fewer rows than this, a frequent answer may be due to chance."""
DISTINCT_SHARE = 0.1
"""The data is degenerate if at most this fraction of the rows is distinct."""


def judge_variety(data: DataFacts) -> list[Verdict]:
    """Return `degenerate_data` if either split is degenerate."""
    if not (is_degenerate(data.train) or is_degenerate(data.evaluation)):
        return []
    figures: dict[str, float] = {}
    for split, facts in (("train", data.train), ("eval", data.evaluation)):
        figures |= {
            f"{split}_rows": facts.rows,
            f"{split}_distinct_rows": facts.distinct_rows,
            f"{split}_distinct_answers": facts.distinct_answers,
            f"{split}_top_answer_share": facts.top_answer_rows / max(1, facts.rows),
        }
    return [Verdict(code=VerdictCode.DEGENERATE_DATA, level="warning", figures=figures)]


def is_degenerate(facts: RowFacts) -> bool:
    """Return whether the rows vary too little for a low loss to be meaningful."""
    if facts.rows < 2:
        return False
    few = facts.distinct_rows == 1 or facts.distinct_rows <= DISTINCT_SHARE * facts.rows
    enough = facts.rows >= FEWEST_ROWS_FOR_SHARES
    return few or (enough and facts.top_answer_rows >= TOP_ANSWER_SHARE * facts.rows)


def judge_overlap(rows: int, exact_rows: int, eval_rows: int) -> list[Verdict]:
    """Return the verdict if `rows` evaluation rows are also training rows, including `exact_rows` exact copies."""
    if not rows:
        return []
    if rows < LEAKED_SHARE * eval_rows:
        return [Verdict(code=VerdictCode.ROWS_OVERLAP, level="warning", figures={"rows": rows})]
    figures = {
        "rows": rows,
        "exact_rows": exact_rows,
        "eval_rows": eval_rows,
        "share": rows / eval_rows,
    }
    return [Verdict(code=VerdictCode.LEAKED_EVALUATION, level="warning", figures=figures)]


def judge_evaluation_size(eval_rows: int) -> list[Verdict]:
    """Return `few_eval_rows` if there are too few rows to rate a figure as good."""
    if eval_rows >= FEWEST_EVAL_ROWS:
        return []
    figures = {"rows": float(eval_rows)}
    return [Verdict(code=VerdictCode.FEW_EVAL_ROWS, level="warning", figures=figures)]
