"""Summary: what a finished job reports.

Each number is defined once, here and in docs/numbers.md. The verdicts are rules over them with names and
thresholds, kept in this one place.
"""

import math
from enum import StrEnum
from typing import Any, Literal

from pydantic import computed_field

from contracts.base import Tolerant, UtcDatetime


class WindowLoss(Tolerant):
    """Token-weighted mean step loss over a whole window that ends at `step`."""

    step: int
    loss: float


class EvalPoint(Tolerant):
    """One evaluation of the run."""

    step: int
    loss: float


class Interval(Tolerant):
    """A 95 % confidence interval."""

    low: float
    high: float


class Summary(Tolerant):
    """The report of a finished run. A field that is null was not measured, and is not shown."""

    model: str
    """As the spec names it."""
    model_revision: str | None = None
    """Commit of the hub that was used."""
    finished_at: UtcDatetime
    duration_seconds: float
    """From the first to the last moment of training, evaluations included, over all attempts that led here."""
    steps: int
    """Optimizer updates done."""
    train_loss: float
    """Token-weighted mean of the step losses of the whole run."""
    eval_loss: float
    """Sum of the supervised tokens' NLL over the evaluation split ÷ their number, after training."""
    base_eval_loss: float | None = None
    """The same before training."""
    improvement_interval: Interval | None = None
    """Of base_eval_loss − eval_loss, by bootstrap over the evaluation rows."""
    windows: list[WindowLoss] = []
    evaluations: list[EvalPoint] = []

    lora_rank: int
    lora_alpha: float
    per_device_batch_size: int
    gradient_accumulation_steps: int
    learning_rate: float
    lr_scheduler: str
    train_rows: int
    eval_rows: int
    trainable_parameters: int
    all_parameters: int
    """Of the model with its adapter."""

    truncated_rows: int = 0
    """Rows cut at max_length."""
    dropped_rows: int = 0
    """Rows left out because no answer was left within max_length."""
    overlapping_rows: int = 0
    """Evaluation rows that also stand in the training rows."""
    supervised_tokens: int | None = None
    """Over all steps."""
    tokens_per_second: float | None = None
    """Tokens trained on, prompts included, per second of training."""
    samples_per_second: float | None = None
    padding_share: float | None = None
    """Share of padding among the tokens computed."""
    flops_utilisation: float | None = None
    """Share of the device's peak that the model's own operations reached, in bfloat16 on a known GPU; else null."""
    peak_memory_bytes: int | None = None
    device: str | None = None
    phases: dict[str, float] = {}
    """Seconds spent in each phase."""
    quantized_layers: int | None = None
    """Linear layers held in 4 bits."""
    choices: dict[str, Any] = {}
    """What the engine chose where the spec said `auto`, and why."""
    versions: dict[str, str] = {}
    seed: int | None = None

    @computed_field  # type: ignore[prop-decorator]  # pydantic's documented order of decorators
    @property
    def perplexity(self) -> float:
        """exp(eval_loss)."""
        return _exp(self.eval_loss)

    @computed_field  # type: ignore[prop-decorator]  # pydantic's documented order of decorators
    @property
    def base_perplexity(self) -> float | None:
        """exp(base_eval_loss)."""
        return None if self.base_eval_loss is None else _exp(self.base_eval_loss)

    @computed_field  # type: ignore[prop-decorator]  # pydantic's documented order of decorators
    @property
    def trainable_share(self) -> float:
        """Share of trainable parameters: trainable ÷ all."""
        return self.trainable_parameters / self.all_parameters

    @computed_field  # type: ignore[prop-decorator]  # pydantic's documented order of decorators
    @property
    def verdicts(self) -> "list[Verdict]":
        """What the rules below make of the figures."""
        return judge(self)


class VerdictCode(StrEnum):
    """Every verdict that a report can hold."""

    PERPLEXITY_EXCELLENT = "perplexity_excellent"
    PERPLEXITY_GOOD = "perplexity_good"
    PERPLEXITY_NEEDS_WORK = "perplexity_needs_work"
    NOT_OVERFITTED = "not_overfitted"
    EVAL_BELOW_TRAIN = "eval_below_train"
    OVERFITTED = "overfitted"
    TRAINABLE_SHARE = "trainable_share"
    IMPROVED = "improved"
    NOT_IMPROVED = "not_improved"
    WORSE_THAN_BASE = "worse_than_base"
    ROWS_TRUNCATED = "rows_truncated"
    ROWS_DROPPED = "rows_dropped"
    ROWS_OVERLAP = "rows_overlap"


class Verdict(Tolerant):
    """One rule's judgement: its code, its level and the figures it went by."""

    code: VerdictCode
    level: Literal["good", "info", "warning"]
    figures: dict[str, float] = {}


EXCELLENT_PERPLEXITY = 3.0
"""Below it a perplexity is excellent."""
GOOD_PERPLEXITY = 5.0
"""Below it a perplexity is good; from it on it needs work."""
OVERFIT_RATIO = 1.1
"""Evaluation loss above this multiple of the train loss is called overfitting; within it either way, close."""


def judge(summary: Summary) -> list[Verdict]:
    """Apply every rule that the summary has figures for, in the report's order."""
    verdicts = [_perplexity(summary), _overfitting(summary), _trainable_share(summary)]
    if summary.base_eval_loss is not None:
        verdicts.append(_improvement(summary, summary.base_eval_loss))
    for code, count in (
        (VerdictCode.ROWS_TRUNCATED, summary.truncated_rows),
        (VerdictCode.ROWS_DROPPED, summary.dropped_rows),
        (VerdictCode.ROWS_OVERLAP, summary.overlapping_rows),
    ):
        if count:
            verdicts.append(Verdict(code=code, level="warning", figures={"rows": count}))
    return verdicts


def _perplexity(summary: Summary) -> Verdict:
    figures = {"perplexity": summary.perplexity}
    if summary.perplexity < EXCELLENT_PERPLEXITY:
        return Verdict(code=VerdictCode.PERPLEXITY_EXCELLENT, level="good", figures=figures)
    if summary.perplexity < GOOD_PERPLEXITY:
        return Verdict(code=VerdictCode.PERPLEXITY_GOOD, level="good", figures=figures)
    return Verdict(code=VerdictCode.PERPLEXITY_NEEDS_WORK, level="warning", figures=figures)


def _overfitting(summary: Summary) -> Verdict:
    figures = {"train_loss": summary.train_loss, "eval_loss": summary.eval_loss}
    if summary.eval_loss > summary.train_loss * OVERFIT_RATIO:
        return Verdict(code=VerdictCode.OVERFITTED, level="warning", figures=figures)
    if summary.eval_loss * OVERFIT_RATIO < summary.train_loss:
        return Verdict(code=VerdictCode.EVAL_BELOW_TRAIN, level="good", figures=figures)
    return Verdict(code=VerdictCode.NOT_OVERFITTED, level="good", figures=figures)


def _trainable_share(summary: Summary) -> Verdict:
    return Verdict(
        code=VerdictCode.TRAINABLE_SHARE,
        level="info",
        figures={
            "share": summary.trainable_share,
            "trainable_parameters": summary.trainable_parameters,
            "all_parameters": summary.all_parameters,
        },
    )


def _improvement(summary: Summary, base: float) -> Verdict:
    figures = {
        "base_eval_loss": base,
        "eval_loss": summary.eval_loss,
        "loss_fall": base - summary.eval_loss,
    }
    interval = summary.improvement_interval
    low = figures["loss_fall"] if interval is None else interval.low
    high = figures["loss_fall"] if interval is None else interval.high
    if low > 0:
        return Verdict(code=VerdictCode.IMPROVED, level="good", figures=figures)
    if high < 0:
        return Verdict(code=VerdictCode.WORSE_THAN_BASE, level="warning", figures=figures)
    return Verdict(code=VerdictCode.NOT_IMPROVED, level="warning", figures=figures)


WINDOW_SERIES: tuple[int, ...] = tuple(
    factor * int(10**power) for power in range(9) for factor in (1, 2, 5)
)


def window_steps(total_steps: int) -> int:
    """Return W, the report's window: the number of 1, 2, 5, 10, 20, 50 … nearest to total_steps ÷ 12.5."""
    return min(WINDOW_SERIES, key=lambda width: abs(width - total_steps / 12.5))


def _exp(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf
