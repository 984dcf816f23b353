"""Formats values for display: bytes, durations, losses, progress."""

from datetime import datetime

from contracts.job_status import JobStatus
from contracts.verdicts.finding_names import finding_name
from stepline.client.views import JobState
from stepline.terminal.display.colors import STATUS_COLORS
from stepline.terminal.language import Language
from stepline.terminal.words import WORDS, say

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def show_bytes(count: float | None) -> str:
    """Return a size such as `1.5 GiB`."""
    if count is None:
        return "–"
    unit = 0
    while count >= 1024 and unit < len(_UNITS) - 1:
        count /= 1024
        unit += 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"


def show_seconds(seconds: float | None) -> str:
    """Return a duration such as `1:02:03` or `0:42`."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def show_loss(loss: float | None) -> str:
    """Return a loss with four decimal places."""
    return "–" if loss is None else f"{loss:.4f}"


def show_count(count: float | None) -> str:
    """Return a large count such as `494 M`."""
    if count is None:
        return "–"
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= limit:
            return f"{count / limit:.3g} {unit}"
    return f"{count:.0f}"


def show_time(at: datetime | None) -> str:
    """Return a time in the local time zone."""
    return "–" if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M")


def show_status(status: str, language: Language) -> str:
    """Return the word for a status; the status itself if a newer server sent it."""
    key = f"status.{status}"
    return say(key, language) if key in WORDS else status


def show_phase(phase: str, language: Language) -> str:
    """Return the word for a phase; the phase itself if a newer server sent it."""
    key = f"phase.{phase}"
    return say(key, language) if key in WORDS else phase


def status_colors(language: Language) -> dict[str, str]:
    """Return the color of each status, by its word."""
    return {show_status(status, language): color for status, color in STATUS_COLORS.items()}


def show_health(job: JobState, language: Language) -> str | None:
    """Return the warnings that nobody has acknowledged, or that a running job has none; None if nothing can be said."""
    if job.status == JobStatus.RUNNING and job.unreachable:
        return say("unknown", language)
    warnings = [
        say("health.finding", language, name=finding_name(one.code, language), step=one.step)
        for one in job.health
        if one.level != "info" and not one.acknowledged
    ]
    if warnings:
        return ("、" if language == "zh" else ", ").join(warnings)
    is_judged = job.status == JobStatus.RUNNING and job.progress.step > 0
    return say("health.none", language) if is_judged else None


def show_progress(job: JobState, language: Language) -> str:
    """Describe the job's progress in its current phase."""
    rows = job.progress.rows
    if rows is not None and job.phase is not None:
        done = say("rows_done", language, done=rows.done, total=rows.total)
        return f"{show_phase(job.phase, language)}: {done}"
    if job.progress.total_steps is None:
        return "–"
    return say("step", language, step=job.progress.step, total=job.progress.total_steps)
