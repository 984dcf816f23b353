"""Summary: the report of a finished job.

The numbers are defined here and in docs/numbers.md. The rules behind the verdicts are in contracts/verdicts.
"""

from typing import Any

from pydantic import computed_field

from contracts.base import Tolerant, UtcDatetime
from contracts.dataset.facts import DataFacts
from contracts.verdicts.course import Course, LossAt, LossPoint, exp_loss, smooth
from contracts.verdicts.judge import FinishedRun, judge
from contracts.verdicts.verdict import Verdict


class WindowLoss(Tolerant):
    """Token-weighted mean step loss over a complete window that ends at `step`."""

    step: int
    loss: float


class EvalPoint(Tolerant):
    """One evaluation of the run."""

    step: int
    loss: float
    token_accuracy: float | None = None
    """Fraction of the supervised tokens to which the model gave the largest logit, from 0 to 1; null if not measured."""


class MixedDataset(Tolerant):
    """One of several training datasets of a run."""

    dataset: str
    """The id of an uploaded dataset, or the repository of a dataset on the hub."""
    weight: float
    rows: int
    """Number of its rows that were used, each counted once."""
    used_rows: int
    """Number of an epoch's rows that come from it."""


class Interval(Tolerant):
    """A 95 % confidence interval."""

    low: float
    high: float


class Summary(Tolerant):
    """The report of a finished run. Null fields were not measured and are not shown."""

    model: str
    """The model's name in the spec."""
    model_revision: str | None = None
    """The hub commit of the model."""
    finished_at: UtcDatetime
    duration_seconds: float
    """Training time, including evaluations, over all attempts that contributed to the result."""
    steps: int
    """Number of optimizer updates."""
    train_loss: float
    """Token-weighted mean step loss over the whole run."""
    first_step_loss: float | None = None
    """Loss of the first step, before any update: the base model's loss on that batch."""
    recent_train_loss: float | None = None
    """Token-weighted mean loss of the last steps: one window or 160 samples, whichever is more."""
    eval_loss: float
    """Mean NLL per supervised token on the evaluation split, after training."""
    base_eval_loss: float | None = None
    """Mean NLL per supervised token on the evaluation split, before training."""
    eval_token_accuracy: float | None = None
    """Fraction of the evaluation split's supervised tokens to which the model gives the largest logit, after training."""
    base_eval_token_accuracy: float | None = None
    """The same fraction before training."""
    improvement_interval: Interval | None = None
    """Bootstrap confidence interval of base_eval_loss − eval_loss over the evaluation rows."""
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
    """Number of parameters, including the adapter's."""

    truncated_rows: int = 0
    """Rows that were truncated at max_length and used. In summaries from earlier versions, dropped rows are
    included."""
    dropped_rows: int = 0
    """Rows dropped because no part of an answer was within max_length."""
    overlapping_rows: int = 0
    """Number of evaluation rows that match a training row character for character."""
    data: DataFacts | None = None
    """How varied the rows are, and how many evaluation rows are also training rows, after normalization."""
    mixture: list[MixedDataset] = []
    """What each of several training datasets contributed; empty for a single one."""
    supervised_tokens: int | None = None
    """Number of supervised tokens in all steps."""
    tokens_per_second: float | None = None
    """Tokens processed, including prompts, per second of training."""
    samples_per_second: float | None = None
    padding_share: float | None = None
    """Fraction of processed tokens that were padding."""
    flops_utilisation: float | None = None
    """Fraction of the device's peak FLOPS that was reached; null unless the run used bfloat16 on a known GPU."""
    peak_memory_bytes: int | None = None
    """Peak resident memory of the training process on a CPU; peak memory allocated by torch on a GPU."""
    predicted_memory_bytes: int | None = None
    """Peak memory predicted before the weights were loaded; null if it was not predicted."""
    device: str | None = None
    phases: dict[str, float] = {}
    """Time spent in each phase, in seconds."""
    quantized_layers: int | None = None
    """Number of linear layers stored in 4 bits."""
    choices: dict[str, Any] = {}
    """The engine's choices, such as for `auto` values in the spec, with their reasons."""
    versions: dict[str, str] = {}
    seed: int | None = None

    @computed_field  # type: ignore[prop-decorator]  # the decorator order that pydantic documents
    @property
    def perplexity(self) -> float:
        """exp(eval_loss)."""
        return exp_loss(self.eval_loss)

    @computed_field  # type: ignore[prop-decorator]  # the decorator order that pydantic documents
    @property
    def base_perplexity(self) -> float | None:
        """exp(base_eval_loss)."""
        return None if self.base_eval_loss is None else exp_loss(self.base_eval_loss)

    @computed_field  # type: ignore[prop-decorator]  # the decorator order that pydantic documents
    @property
    def trainable_share(self) -> float:
        """Fraction of parameters that are trainable."""
        return self.trainable_parameters / self.all_parameters

    @property
    def given_rows(self) -> int:
        """Number of rows in the data, used or dropped. A row that is used several times counts once."""
        if self.mixture and self.data is not None:
            return self.data.train.rows + self.data.evaluation.rows
        return self.train_rows + self.eval_rows + self.dropped_rows

    @computed_field  # type: ignore[prop-decorator]  # the decorator order that pydantic documents
    @property
    def verdicts(self) -> "list[Verdict]":
        """Verdicts on the figures, also computed for summaries from earlier versions."""
        return judge(self._finished_run())

    @property
    def adapter_step(self) -> int:
        """Step of the saved adapter: before the last step if early stopping restored the best adapter."""
        evaluations = self._evaluations()
        if self.eval_loss >= evaluations[-1].loss:
            return self.steps
        return min(evaluations, key=lambda point: point.loss).step

    def _finished_run(self) -> FinishedRun:
        interval = self.improvement_interval
        return FinishedRun(
            course=Course(
                train=self._train_losses(),
                evaluations=self._evaluations(),
                first_step_loss=self.first_step_loss,
                effective_batch=self.per_device_batch_size * self.gradient_accumulation_steps,
            ),
            eval_loss=self.eval_loss,
            adapter_step=self.adapter_step,
            mean_train_loss=self.train_loss,
            eval_rows=self.eval_rows,
            trainable_parameters=self.trainable_parameters,
            all_parameters=self.all_parameters,
            improvement=None if interval is None else (interval.low, interval.high),
            truncated_rows=self.truncated_rows,
            dropped_rows=self.dropped_rows,
            given_rows=self.given_rows,
            overlapping_rows=self.overlapping_rows,
            data=self.data,
        )

    def _train_losses(self) -> list[LossAt]:
        """Return the known train losses, oldest first."""
        batch = self.per_device_batch_size * self.gradient_accumulation_steps
        width = self.windows[0].step if self.windows else 1
        known = smooth(self.windows, max(1, width * batch))
        if self.recent_train_loss is not None:
            known = [point for point in known if point.step < self.steps]
            known.append(LossAt(self.steps, self.recent_train_loss))
        return known or [LossAt(self.steps, self.train_loss)]

    def _evaluations(self) -> list[LossPoint]:
        """Return every known evaluation, including those of the base model and the last step."""
        known: list[LossPoint] = list(self.evaluations)
        if self.base_eval_loss is not None and (not known or known[0].step > 0):
            known.insert(0, LossAt(0, self.base_eval_loss))
        if not any(point.step > 0 for point in known):
            known.append(LossAt(self.steps, self.eval_loss))
        return known


WINDOW_SERIES: tuple[int, ...] = tuple(
    factor * int(10**power) for power in range(9) for factor in (1, 2, 5)
)


def window_steps(total_steps: int) -> int:
    """Return the report's window size: the number among 1, 2, 5, 10, 20, 50 … nearest to total_steps ÷ 12.5."""
    return min(WINDOW_SERIES, key=lambda width: abs(width - total_steps / 12.5))
