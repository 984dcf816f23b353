"""Shows the progress of a running job: a line that updates in place on a terminal, and an occasional permanent line."""

import itertools
import shutil
import sys
from collections.abc import Mapping

from wcwidth import wcswidth

from examples.demo.language import Language, say
from stepline.client.views import JobState

BARS = "▁▂▃▄▅▆▇█"
PERMANENT_LINES = 10
"""Number of permanent lines over the whole run."""


class Progress:
    """The progress display of one job."""

    def __init__(self, language: Language) -> None:
        self._language = language
        self._live = sys.stdout.isatty()
        self._last_mark = ""

    def show(self, job: JobState, losses: Mapping[int, float]) -> None:
        """Show the job's current progress; `losses` maps steps to losses, in the order of the steps."""
        phase = job.phase or job.status
        if phase not in {"training", "evaluating"} or not losses:
            name = phase if job.status in {"queued", "running"} else None
            mark = f"{phase} {self._quarters_done(job)}"
            line = "  ".join([say(self._language, name), *self._rows(job)]) if name else ""
        else:
            line = self._training_line(job, losses)
            total = job.progress.total_steps or 0
            mark = str(max(losses) * PERMANENT_LINES // max(total, 1))
        if mark != self._last_mark and line:
            self._last_mark = mark
            self._print(line, end="\n")
        elif self._live and line:
            self._print(line, end="")

    def _training_line(self, job: JobState, losses: Mapping[int, float]) -> str:
        step = max(losses)
        parts = [
            say(self._language, job.phase or job.status),
            f"{say(self._language, 'step')} {step}/{job.progress.total_steps}",
            *self._rows(job)[:1],
            f"loss {losses[step]:.4f}",
            draw_curve(list(losses.values())),
        ]
        if job.eta_seconds:
            parts.append(self._time_left(job.eta_seconds))
        return "  ".join(parts)

    def _rows(self, job: JobState) -> list[str]:
        """Return the progress of a phase without steps: its rows and the time left."""
        rows = job.progress.rows
        if rows is None:
            return []
        left = [] if rows.seconds_left is None else [self._time_left(rows.seconds_left)]
        return [say(self._language, "rows", done=rows.done, total=rows.total), *left]

    def _quarters_done(self, job: JobState) -> int:
        rows = job.progress.rows
        return 0 if rows is None else int(4 * rows.done // max(rows.total, 1))

    def _time_left(self, eta_seconds: float) -> str:
        minutes, seconds = divmod(round(eta_seconds), 60)
        return f"{say(self._language, 'eta')} {minutes}:{seconds:02d}"

    def _print(self, line: str, end: str) -> None:
        columns = shutil.get_terminal_size().columns - 1
        while self._live and wcswidth(line) > columns:
            line = line[:-1]
        clear = "\r\x1b[K" if self._live else ""
        print(f"{clear}      {line}", end=end, flush=True)


def draw_curve(losses: list[float], columns: int = 24) -> str:
    """Draw the losses as a small bar chart; each bar is the mean over an equal share of the steps."""
    if not losses:
        return ""
    columns = min(columns, len(losses))
    edges = [index * len(losses) // columns for index in range(columns + 1)]
    means = [sum(losses[start:end]) / (end - start) for start, end in itertools.pairwise(edges)]
    top = max(means) or 1.0
    return "".join(BARS[min(len(BARS) - 1, int(mean / top * len(BARS)))] for mean in means)
