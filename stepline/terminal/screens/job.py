"""The live screen of `stepline watch`: status, progress, metrics, the loss curve, and the newest events."""

import time
from collections import deque
from collections.abc import Callable

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from contracts.values.text import escape
from stepline.client.updates import (
    Connected,
    Disconnected,
    Happened,
    Metrics,
    Rewound,
    StatusChanged,
    Update,
)
from stepline.client.views import Columns, Event, JobState
from stepline.terminal.display.chart import draw_curve
from stepline.terminal.display.colors import LEVEL_COLORS, STATUS_COLORS
from stepline.terminal.display.figures import (
    show_bytes,
    show_health,
    show_loss,
    show_phase,
    show_progress,
    show_seconds,
    show_status,
)
from stepline.terminal.language import Language
from stepline.terminal.words import say

CHART_LINES = 8
MOST_EVENTS = 5
UNSHOWN = ("phase", "artifact_uploaded")
"""Codes of events that would displace others: the first line shows the phase."""
MOST_POINTS = 20_000
"""Maximum number of points kept per series. Beyond it, every second point is dropped."""


class Screen:
    """The current state of a job, as a rich renderable."""

    def __init__(
        self, language: Language, title: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.job: JobState | None = None
        self.is_connected = True
        self._language = language
        self._title = title
        self._clock = clock
        self._job_read_at = clock()
        self._series: dict[str, dict[int, float]] = {}
        self._events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._seen: set[str] = set()

    def add(self, update: Update) -> None:
        """Take one update."""
        match update:
            case StatusChanged(job=job):
                self.job = job
                self._job_read_at = self._clock()
            case Metrics(series=series):
                self.add_series(series)
            case Rewound(step=step):
                for name, points in self._series.items():
                    self._series[name] = {s: v for s, v in points.items() if s <= step}
            case Happened(event=event):
                if event.id not in self._seen and event.code not in UNSHOWN:
                    self._seen.add(event.id)
                    self._events.append(event)
            case Disconnected():
                self.is_connected = False
            case Connected():
                self.is_connected = True

    def add_series(self, series: dict[str, Columns]) -> None:
        """Add points; a new point replaces an older one at the same step."""
        for name, columns in series.items():
            points = self._series.setdefault(name, {})
            pairs = zip(columns.step, columns.value, strict=False)
            points.update({step: value for step, value in pairs if value is not None})
            if len(points) > MOST_POINTS:
                self._series[name] = dict(list(points.items())[::2])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the screen at the width of the terminal."""
        width = options.max_width
        if self.job is None:
            yield Text(self._title)
            return
        parts: list[RenderableType] = [
            self._head(self.job),
            self._progress(self.job),
            self._figures(self.job),
        ]
        parts += self._chart(width)
        parts += [self._event(event) for event in self._events]
        if self.job.error is not None:
            error = self.job.error
            parts.append(Text(escape(f"{error.message} {error.hint}".strip()), style="red"))
        if not self.is_connected:
            parts.append(Text(say("said.lost", self._language), style="yellow"))
        yield Group(*parts)

    def _head(self, job: JobState) -> Text:
        head = Text(no_wrap=True, overflow="ellipsis")
        head.append(escape(job.id), style="bold")
        head.append("  ")
        head.append(
            show_status(job.status, self._language), style=STATUS_COLORS.get(job.status, "")
        )
        if job.phase is not None:
            head.append(" · " + escape(show_phase(job.phase, self._language)))
        if job.name:
            head.append("  " + escape(job.name), style="dim")
        return head

    def _progress(self, job: JobState) -> Table:
        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(ratio=1)
        row.add_column(no_wrap=True, justify="right")
        rows = job.progress.rows
        total: float | None = job.progress.total_steps
        done: float = job.progress.step
        left = job.eta_seconds
        if rows is not None:
            total, done, left = rows.total, rows.done, rows.seconds_left
        words = [escape(show_progress(job, self._language))]
        if left is not None and not job.is_settled:
            left = max(0.0, left - (self._clock() - self._job_read_at))
            words.append(say("eta", self._language, time=show_seconds(left)))
        if job.queue_position is not None:
            words = [say("queued", self._language, position=job.queue_position)]
        if job.waiting is not None:
            words.append(escape(job.waiting.message))
        if total:
            words.append(f"{100 * done / total:.0f} %")
        bar = ProgressBar(
            total or 1, done, complete_style="cyan", finished_style="green", style="dim"
        )
        row.add_row(bar, Text(" · ".join(words), overflow="ellipsis"))
        return row

    def _figures(self, job: JobState) -> Text:
        lang = self._language
        found = [
            f"{say('loss', lang)} {show_loss(job.last_loss)}",
            f"{say('eval_loss', lang)} {show_loss(job.eval_loss)}",
        ]
        if (rate := self._last("tokens_per_second")) is not None:
            found.append(say("tokens_per_second", lang, value=f"{rate:.0f}"))
        if (rate := self._last("learning_rate")) is not None:
            found.append(f"{say('learning_rate', lang)} {rate:.2e}")
        if (load := self._last("sys.gpu_percent")) is not None:
            found.append(f"{say('gpu', lang)} {load:.0f} %")
        gpu, process = self._last("sys.gpu_memory_bytes"), self._last("sys.process_rss_bytes")
        if gpu is not None:
            found.append(f"{say('gpu_memory', lang)} {show_bytes(gpu)}")
        elif process is not None:
            found.append(f"{say('memory', lang)} {show_bytes(process)}")
        if (health := show_health(job, lang)) is not None:
            found.append(say("health", lang, found=escape(health)))
        return Text(" · ".join(found))

    def _chart(self, width: int) -> list[Text]:
        points = sorted(self._series.get("loss", {}).items())
        if len(points) < 2:
            return []
        values = [value for _, value in points]
        labels = [f"{max(values):.4f}", *[""] * (CHART_LINES - 2), f"{min(values):.4f}"]
        margin = max(len(label) for label in labels) + 1
        lines = draw_curve(points, max(10, width - margin - 1), CHART_LINES)
        chart = [
            Text.assemble((f"{label:>{margin - 1}} ", "dim"), (line, "cyan"))
            for label, line in zip(labels, lines, strict=True)
        ]
        first, last = str(points[0][0]), say("step_number", self._language, step=points[-1][0])
        gap = " " * max(1, len(lines[0]) - cell_len(first) - cell_len(last))
        axis = Text(" " * margin + first + gap + last, style="dim", no_wrap=True)
        return [Text(say("loss", self._language), style="bold"), *chart, axis]

    def _event(self, event: Event) -> Text:
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(event.at.astimezone().strftime("%H:%M:%S "), style="dim")
        return line.append(escape(event.message), style=LEVEL_COLORS.get(event.level, ""))

    def _last(self, name: str) -> float | None:
        points = self._series.get(name)
        return points[max(points)] if points else None
