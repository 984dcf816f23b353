"""Trace: the history of a run that the rules for running jobs need: windows over all steps, and the latest steps.

Memory is bounded: a run of 1,000,000 steps needs no more than one of 1,000. Losses are in nats per supervised token.
"""

import json
import math
import struct
from array import array
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple, Self

from contracts.verdicts.course import RECENT_SAMPLES, LossAt

MOST_WINDOWS = 128
"""Maximum number of windows. Beyond it, adjacent windows are merged, and each covers twice as many steps."""
RECENT_STEPS = 160
"""Number of latest steps that are kept individually: enough for RECENT_SAMPLES samples at one sample per step."""
MOST_EVALUATIONS = 64
"""Maximum number of evaluations. The first, the lowest and the newest are kept."""
USUAL_STEPS = 64
"""A loss is compared with the losses of this many preceding steps."""
FEWEST_USUAL_STEPS = 16
"""A loss with fewer preceding steps does not count as a spike."""
SPIKE_RISE = math.log(2)
"""A spike is at least this far above the usual loss, which corresponds to doubling the perplexity."""
SPIKE_DEVIATIONS = 8.0
"""A spike is also at least this many standard deviations above the usual loss. Single-sample losses vary by several."""
DEVIATION_PER_MAD = 1.4826
"""Ratio of standard deviation to median absolute deviation for a normal distribution."""
BIN_SECONDS = 60.0
"""The pace is averaged over this much training time, and at least one step."""
MOST_BINS = 5
WINDOW_FIGURES = 6
"""Number of figures per window."""
_REFRESH_STEPS = 16
"""Number of steps after which the usual loss is recomputed."""


class Step(NamedTuple):
    """An optimizer step. Figures that were not recorded are 0."""

    step: int
    loss: float
    grad_norm: float = 0.0
    """Before clipping."""
    tokens: float = 0.0
    """Supervised tokens."""
    seconds: float = 0.0


@dataclass(slots=True)
class Window:
    """Sums over consecutive steps. Mutable for speed, because thousands of steps may arrive per second."""

    end: int
    """Last step of the window."""
    steps: int
    """Number of steps."""
    nll: float
    """Sum of loss × tokens."""
    weight: float
    """Sum of tokens; a step without this figure counts as one token."""
    grad_norm: float
    """Sum of gradient norms."""
    seconds: float

    @property
    def loss(self) -> float:
        """Token-weighted mean loss."""
        return self.nll / self.weight

    @classmethod
    def of(cls, step: Step) -> "Window":
        """Return a window with a single step."""
        weight = _weight(step.tokens)
        return cls(step.step, 1, step.loss * weight, weight, step.grad_norm, step.seconds)

    def add(self, step: Step) -> None:
        """Add the next step."""
        number, loss, grad_norm, tokens, seconds = step
        weight = _weight(tokens)
        self.end = number
        self.steps += 1
        self.nll += loss * weight
        self.weight += weight
        self.grad_norm += grad_norm
        self.seconds += seconds

    @property
    def row(self) -> tuple[float, ...]:
        """The figures, in field order."""
        return self.end, self.steps, self.nll, self.weight, self.grad_norm, self.seconds

    def merged(self, later: "Window") -> "Window":
        """Return this window merged with the next one."""
        return Window(
            later.end,
            self.steps + later.steps,
            self.nll + later.nll,
            self.weight + later.weight,
            self.grad_norm + later.grad_norm,
            self.seconds + later.seconds,
        )


class Spike(NamedTuple):
    """The latest step at which the loss spiked."""

    step: int
    loss: float
    usual: float
    """Median loss of the preceding steps."""


@dataclass
class Trace:
    """A run up to its latest step. `add` and `add_evaluation` extend it; `rewind` drops steps that a resume repeats."""

    effective_batch: int = 16
    """Samples per step."""
    max_grad_norm: float = 1.0
    windows: list[Window] = field(default_factory=list)
    """Oldest first; all but the last cover `width` steps."""
    width: int = 0
    recent: deque[Step] = field(default_factory=lambda: deque(maxlen=RECENT_STEPS))
    """The latest steps, oldest first."""
    first_loss: float | None = None
    """Loss of step 1; None if the trace does not begin there."""
    start: Window | None = None
    """The first `start_steps` steps; None if the trace does not begin at step 1."""
    nonfinite_step: int | None = None
    """The first step whose loss or gradient norm was not finite. Non-finite steps are excluded from averages."""
    evaluations: list[LossAt] = field(default_factory=list)
    spike: Spike | None = None
    spikes: int = 0
    """Number of spikes; consecutive steps above the bound are one spike."""
    bins: deque[list[float]] = field(default_factory=lambda: deque(maxlen=MOST_BINS))
    """[seconds, tokens] of the latest bins of BIN_SECONDS; the last bin may be incomplete."""
    _usual: float = math.inf
    _bound: float = math.inf
    _is_high: bool = False
    _until_refresh: int = 0

    def __post_init__(self) -> None:
        self.width = self.width or self.start_steps

    @property
    def start_steps(self) -> int:
        """Number of steps that contain RECENT_SAMPLES samples."""
        return -(-RECENT_SAMPLES // self.effective_batch)

    @property
    def last_step(self) -> int:
        """The latest step; 0 before the first."""
        return self.recent[-1].step if self.recent else 0

    @property
    def recent_loss(self) -> float:
        """Token-weighted mean loss of the latest RECENT_SAMPLES samples, or of all steps if there are fewer."""
        newest = self.newest(self.start_steps)
        return sum(step.loss * _weight(step.tokens) for step in newest) / sum(
            _weight(step.tokens) for step in newest
        )

    def newest(self, count: int) -> list[Step]:
        """Return at most `count` of the latest steps, oldest first."""
        return list(self.recent)[-count:]

    def add(self, steps: Iterable[Step]) -> None:
        """Add steps in training order. A step that is not above the last one replaces that step and all later ones."""
        last = max(self.last_step, self.nonfinite_step or 0)
        for step in steps:
            if step.step <= last:
                self.rewind(step.step - 1)
            last = step.step
            if not (math.isfinite(step.loss) and math.isfinite(step.grad_norm)):
                if self.nonfinite_step is None:
                    self.nonfinite_step = step.step
                continue
            self._note_start(step)
            self._note_spike(step)
            self.recent.append(step)
            self._extend_windows(step)
            self._extend_bins(step)

    def add_evaluation(self, step: int, loss: float) -> None:
        """Add an evaluation, replacing any at the same or a later step."""
        if not math.isfinite(loss):
            if self.nonfinite_step is None:
                self.nonfinite_step = step
            return
        kept = [point for point in self.evaluations if point.step < step]
        self.evaluations = _thinned([*kept, LossAt(step, loss)])

    def rewind(self, step: int) -> None:
        """Drop everything after a step. A window that contains the step is dropped entirely."""
        self.recent = deque((s for s in self.recent if s.step <= step), RECENT_STEPS)
        self.windows = [window for window in self.windows if window.end <= step]
        self.evaluations = [point for point in self.evaluations if point.step <= step]
        if self.spike is not None and self.spike.step > step:
            self.spike, self.spikes = None, 0
        if self.nonfinite_step is not None and self.nonfinite_step > step:
            self.nonfinite_step = None
        if self.start is not None and self.start.end > step:
            self.start = None
        if step < 1:
            self.first_loss = None
        self.bins.clear()
        self._is_high, self._until_refresh = False, 0

    def _note_spike(self, step: Step) -> None:
        if self._until_refresh <= 0:
            self._usual, self._bound = _usual([s.loss for s in self.newest(USUAL_STEPS)])
            self._until_refresh = _REFRESH_STEPS
        self._until_refresh -= 1
        is_high = step.loss > self._bound
        if is_high and not self._is_high:
            self.spikes += 1
            self.spike = Spike(step.step, step.loss, self._usual)
        self._is_high = is_high

    def _note_start(self, step: Step) -> None:
        if step.step == 1:
            self.first_loss, self.start = step.loss, Window.of(step)
        elif self.start is not None and self.start.steps < self.start_steps:
            self.start.add(step)

    def _extend_windows(self, step: Step) -> None:
        if self.windows and self.windows[-1].steps < self.width:
            self.windows[-1].add(step)
            return
        if len(self.windows) == MOST_WINDOWS:
            pairs = zip(self.windows[::2], self.windows[1::2], strict=True)
            self.windows = [earlier.merged(later) for earlier, later in pairs]
            self.width *= 2
        self.windows.append(Window.of(step))

    def _extend_bins(self, step: Step) -> None:
        if self.bins and self.bins[-1][0] < BIN_SECONDS:
            newest = self.bins[-1]
            newest[0] += step.seconds
            newest[1] += step.tokens
        else:
            self.bins.append([step.seconds, step.tokens])

    def encode(self) -> bytes:
        """Return the trace as bytes: the length of a JSON header, the header, and the figures of steps and windows."""
        header = {
            "effective_batch": self.effective_batch,
            "max_grad_norm": self.max_grad_norm,
            "width": self.width,
            "first_loss": self.first_loss,
            "start": None if self.start is None else self.start.row,
            "nonfinite_step": self.nonfinite_step,
            "evaluations": self.evaluations,
            "spike": self.spike,
            "spikes": self.spikes,
            "bins": list(self.bins),
            "is_high": self._is_high,
            "windows": len(self.windows),
        }
        text = json.dumps(header, separators=(",", ":")).encode()
        figures = array("d")
        for window in self.windows:
            figures.extend(window.row)
        for step in self.recent:
            figures.extend(step)
        return struct.pack("<I", len(text)) + text + figures.tobytes()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the trace encoded by encode()."""
        (length,) = struct.unpack_from("<I", data)
        header: dict[str, Any] = json.loads(data[4 : 4 + length])
        figures = array("d")
        figures.frombytes(data[4 + length :])
        rows = figures.tolist()
        end = header["windows"] * WINDOW_FIGURES
        windows = [
            Window(int(row[0]), int(row[1]), *row[2:])
            for row in _in_rows(rows[:end], WINDOW_FIGURES)
        ]
        recent = [Step(int(row[0]), *row[1:]) for row in _in_rows(rows[end:], len(Step._fields))]
        spike = header["spike"]
        trace = cls(
            effective_batch=header["effective_batch"],
            max_grad_norm=header["max_grad_norm"],
            windows=windows,
            width=header["width"],
            recent=deque(recent, RECENT_STEPS),
            first_loss=header["first_loss"],
            start=None if header["start"] is None else Window(*header["start"]),
            nonfinite_step=header["nonfinite_step"],
            evaluations=[LossAt(*point) for point in header["evaluations"]],
            spike=None if spike is None else Spike(*spike),
            spikes=header["spikes"],
            bins=deque(header["bins"], MOST_BINS),
        )
        trace._is_high = header["is_high"]
        return trace


def _weight(tokens: float) -> float:
    """Return the weight of a step's loss; a step with a missing or invalid token count has the weight of one token."""
    return tokens if 0 < tokens < math.inf else 1.0


def _usual(losses: Sequence[float]) -> tuple[float, float]:
    """Return the usual loss, and the bound above which a loss is a spike."""
    if len(losses) < FEWEST_USUAL_STEPS:
        return math.inf, math.inf
    usual = median(losses)
    deviation = DEVIATION_PER_MAD * median(abs(loss - usual) for loss in losses)
    return usual, usual + max(SPIKE_RISE, SPIKE_DEVIATIONS * deviation)


def _thinned(points: list[LossAt]) -> list[LossAt]:
    if len(points) <= MOST_EVALUATIONS:
        return points
    lowest = min(points[1:], key=lambda point: point.loss)
    oldest = next(index for index, point in enumerate(points) if index and point is not lowest)
    return points[:oldest] + points[oldest + 1 :]


def _in_rows(figures: list[float], width: int) -> Iterable[list[float]]:
    return (figures[start : start + width] for start in range(0, len(figures), width))
