"""Verdict: the result of one rule, and its codes."""

from enum import StrEnum
from typing import Literal

from contracts.base import Tolerant


class VerdictCode(StrEnum):
    """Codes of the verdicts in a report."""

    DIVERGED = "diverged"
    DEGENERATE_DATA = "degenerate_data"
    LEAKED_EVALUATION = "leaked_evaluation"
    FEW_EVAL_ROWS = "few_eval_rows"
    PERPLEXITY_EXCELLENT = "perplexity_excellent"
    PERPLEXITY_GOOD = "perplexity_good"
    PERPLEXITY_NEEDS_WORK = "perplexity_needs_work"
    PERPLEXITY_OF_BASE = "perplexity_of_base"
    NOT_OVERFITTED = "not_overfitted"
    EVAL_BELOW_TRAIN = "eval_below_train"
    EVAL_STILL_FALLING = "eval_still_falling"
    GAP_UNCHANGED = "gap_unchanged"
    OVERFITTED = "overfitted"
    TRAINABLE_SHARE = "trainable_share"
    IMPROVED = "improved"
    NOT_IMPROVED = "not_improved"
    WORSE_THAN_BASE = "worse_than_base"
    ROWS_TRUNCATED = "rows_truncated"
    ROWS_DROPPED = "rows_dropped"
    ROWS_OVERLAP = "rows_overlap"


class Verdict(Tolerant):
    """The result of one rule: a code, a level and the figures on which it is based."""

    code: VerdictCode
    level: Literal["good", "info", "warning"]
    figures: dict[str, float] = {}
