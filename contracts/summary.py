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
    """The report of a finished run. A null field was not measured and is not shown."""

    model: str
    """The model's name in the spec."""
    model_revision: str | None = None
    """The hub commit of the model."""
    finished_at: UtcDatetime
    duration_seconds: float
    """From the start to the end of training, including evaluations, over all attempts that led to this result."""
    steps: int
    """Number of optimizer updates."""
    train_loss: float
    """Token-weighted mean of the step losses of the whole run."""
    first_step_loss: float | None = None
    """Loss of the first step, before any update: the base's loss on that batch."""
    recent_train_loss: float | None = None
    """Token-weighted mean loss of the last steps: one window, or 160 samples if that is more."""
    eval_loss: float
    """Mean NLL per supervised token of the evaluation split, after training."""
    base_eval_loss: float | None = None
    """Mean NLL per supervised token of the evaluation split, before training."""
    improvement_interval: Interval | None = None
    """Confidence interval of base_eval_loss − eval_loss, by bootstrap over the evaluation rows."""
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
    """Number of parameters of the model with its adapter."""

    truncated_rows: int = 0
    """Rows that were cut at max_length and used. Summaries of earlier versions count dropped rows here as well."""
    dropped_rows: int = 0
    """Rows dropped because no answer was left within max_length."""
    overlapping_rows: int = 0
    """Number of evaluation rows that match a training row character for character."""
    data: DataFacts | None = None
    """How varied the rows are, and how many evaluation rows are also training rows after normalisation."""
    supervised_tokens: int | None = None
    """Number of supervised tokens over all steps."""
    tokens_per_second: float | None = None
    """Trained tokens, including prompts, per second of training."""
    samples_per_second: float | None = None
    padding_share: float | None = None
    """Share of the computed tokens that were padding."""
    flops_utilisation: float | None = None
    """Share of the device's peak FLOPS that the run reached; null unless it ran in bfloat16 on a known GPU."""
    peak_memory_bytes: int | None = None
    """On a CPU, the training process's peak resident memory; on a GPU, torch's peak allocated memory."""
    predicted_memory_bytes: int | None = None
    """The same peak as predicted before the weights were loaded; null if it was not planned."""
    device: str | None = None
    phases: dict[str, float] = {}
    """Seconds spent in each phase."""
    quantized_layers: int | None = None
    """Number of linear layers stored in 4 bits."""
    choices: dict[str, Any] = {}
    """The engine's choices, such as those for `auto` in the spec, and their reasons."""
    versions: dict[str, str] = {}
    seed: int | None = None

    @computed_field  # type: ignore[prop-decorator]  # pydantic's documented order of decorators
    @property
    def perplexity(self) -> float:
        """exp(eval_loss)."""
        return exp_loss(self.eval_loss)

    @computed_field  # type: ignore[prop-decorator]  # pydantic's documented order of decorators
    @property
    def base_perplexity(self) -> float | None:
        """exp(base_eval_loss)."""
        return None if self.base_eval_loss is None else exp_loss(self.base_eval_loss)

    @computed_field  # type: ignore[prop-decorator]  # pydantic's documented order of decorators
    @property
    def trainable_share(self) -> float:
        """Share of trainable parameters: trainable ÷ all."""
        return self.trainable_parameters / self.all_parameters

    @property
    def given_rows(self) -> int:
        """All rows of the data, used or dropped."""
        return self.train_rows + self.eval_rows + self.dropped_rows

    @computed_field  # type: ignore[prop-decorator]  # pydantic's documented order of decorators
    @property
    def verdicts(self) -> "list[Verdict]":
        """The verdicts on the figures; also computed for summaries of earlier versions."""
        return judge(self._finished_run())

    def _finished_run(self) -> FinishedRun:
        interval = self.improvement_interval
        evaluations = self._evaluations()
        last = evaluations[-1] if evaluations else None
        kept_best = last is not None and self.eval_loss < last.loss
        kept = min(evaluations, key=lambda point: point.loss) if kept_best else None
        return FinishedRun(
            course=Course(
                train=self._train_losses(),
                evaluations=evaluations,
                first_step_loss=self.first_step_loss,
                effective_batch=self.per_device_batch_size * self.gradient_accumulation_steps,
            ),
            eval_loss=self.eval_loss,
            adapter_step=self.steps if kept is None else kept.step,
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
        """Return every known evaluation, including those of the base and of the last step."""
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
    """Return W, the report's window: the number among 1, 2, 5, 10, 20, 50 … nearest to total_steps ÷ 12.5."""
    return min(WINDOW_SERIES, key=lambda width: abs(width - total_steps / 12.5))
