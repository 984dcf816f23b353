"""Rules on the pace of a running job and the load of its host, which the supervisor samples."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from contracts.verdicts.finding import Finding, HealthCode, ease
from contracts.verdicts.trace import BIN_SECONDS, Trace

STALL_SECONDS = 60.0
"""A run never counts as stalled before this time."""
STALL_RATIO = 10.0
"""A run has stalled if it has not completed a step for this many times the usual step duration."""
LONGEST_RATIO = 2.0
"""The time must also be this many times the longest recent step."""
FEWEST_STEPS = 5
"""Number of steps after which the usual step duration is known."""
FIRST_STEPS_SECONDS = 600.0
"""Until the usual duration is known, a run has stalled if it has not completed a step for this long."""
SLOW_SHARE = 0.5
"""A run is slow if its throughput is below this share of its own earlier throughput."""
SLOW_BINS = 3
"""The throughput is averaged over this many bins of BIN_SECONDS, so a short disturbance does not count."""
FEWEST_WINDOWS = 5
"""The earlier throughput is the median of at least this many windows."""
FEWEST_SAMPLES = 12
"""The load is averaged over this many samples of the host: one minute at the usual interval of 5 seconds."""
STARVED_PERCENT = 30.0
"""A GPU is starved if its mean utilisation is below this."""
THROTTLED_SHARE = 0.5
"""A GPU is throttled if at least this fraction of the samples reports throttling."""
THROTTLE_REASONS = 0x08 | 0x20 | 0x40 | 0x80
"""NVML's hardware slowdown, software and hardware thermal slowdown, and power brake. The power cap (0x04) is excluded,
because every GPU reaches it under full load."""
DISK_BYTES = 2 * 1024**3
"""Free space below which the worker's disk is nearly full: a checkpoint of a rank-64 adapter of a 7B model takes about 2 GB."""
DISK_ERROR_BYTES = DISK_BYTES // 4
"""Free space below which the next checkpoint is likely to fail."""

Samples = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Conditions:
    """The state of a run, apart from its trace."""

    is_training: bool = True
    """Whether the run is currently training, as opposed to evaluating or saving."""
    silent_seconds: float = 0.0
    """Time since the last step, or since training began."""
    samples: Samples = ()
    """The newest samples of the host, oldest first."""
    held: Collection[HealthCode] = ()
    """Codes of the findings that are currently raised."""

    def easing(self, code: HealthCode) -> float:
        """Return the factor by which to relax a threshold."""
        return ease(code, self.held)


def judge_machine(trace: Trace, conditions: Conditions) -> list[Finding]:
    """Return the findings on pace and host."""
    found = [_judge_disk(trace, conditions)]
    if conditions.is_training:
        stalled = _judge_stall(trace, conditions)
        found += [
            stalled,
            None if stalled else _judge_pace(trace, conditions),
            # A stalled run also leaves its GPU idle.
            None if stalled else _judge_utilisation(trace, conditions),
            _judge_throttling(trace, conditions),
        ]
    return [finding for finding in found if finding is not None]


def stall_limit(trace: Trace) -> float | None:
    """Return the maximum duration of a step in seconds; None if the usual duration is unknown."""
    durations = _durations(trace)
    if len(durations) < FEWEST_STEPS:
        return None
    return max(STALL_SECONDS, STALL_RATIO * median(durations), LONGEST_RATIO * max(durations))


def _durations(trace: Trace) -> list[float]:
    """Return the known durations of the recent steps."""
    return [step.seconds for step in trace.recent if step.seconds > 0]


def _judge_stall(trace: Trace, conditions: Conditions) -> Finding | None:
    limit = stall_limit(trace) or FIRST_STEPS_SECONDS
    if conditions.silent_seconds <= limit:
        return None
    durations = _durations(trace)
    usual = {"usual_seconds": median(durations)} if durations else {}
    return Finding(
        code=HealthCode.STALLED,
        level="error",
        step=trace.last_step,
        values={
            "silent_seconds": round(conditions.silent_seconds, 1),
            **usual,
            "limit_seconds": limit,
        },
    )


def _judge_pace(trace: Trace, conditions: Conditions) -> Finding | None:
    newest = [each for each in trace.bins if each[0] >= BIN_SECONDS][-SLOW_BINS:]
    earlier = _paces_before(trace, sum(each[0] for each in trace.bins))
    if len(newest) < SLOW_BINS or len(earlier) < FEWEST_WINDOWS:
        return None
    pace = sum(tokens for _, tokens in newest) / sum(seconds for seconds, _ in newest)
    usual = median(earlier)
    if pace >= SLOW_SHARE * conditions.easing(HealthCode.SLOWDOWN) * usual:
        return None
    return Finding(
        code=HealthCode.SLOWDOWN,
        level="warning",
        step=trace.last_step,
        values={"tokens_per_second": pace, "usual_tokens_per_second": usual},
        severity=usual / max(pace, 1e-9),
    )


def _paces_before(trace: Trace, newest_seconds: float) -> list[float]:
    """Return the tokens per second of each window, except those that cover the latest part of the training time."""
    seconds = 0.0
    windows = list(trace.windows)
    while windows and seconds < newest_seconds:
        seconds += windows.pop().seconds
    return [window.weight / window.seconds for window in windows if window.seconds > 0]


def _judge_utilisation(trace: Trace, conditions: Conditions) -> Finding | None:
    # The mean over the attempt's GPUs, because a GPU that waits for the others appears busy.
    loads = [
        [value for name, value in sample.items() if _is(name, "sys.gpu_percent")]
        for sample in conditions.samples
    ]
    means = [fmean(load) for load in loads if load][-FEWEST_SAMPLES:]
    if len(means) < FEWEST_SAMPLES or stall_limit(trace) is None:
        return None
    load = fmean(means)
    if load >= STARVED_PERCENT * conditions.easing(HealthCode.GPU_STARVED):
        return None
    return Finding(
        code=HealthCode.GPU_STARVED,
        level="warning",
        step=trace.last_step,
        values={"gpu_percent": load},
        severity=100 / max(load, 1.0),
    )


def _judge_throttling(trace: Trace, conditions: Conditions) -> Finding | None:
    masks = [
        [int(value) for name, value in sample.items() if _is(name, "sys.gpu_throttle_reasons")]
        for sample in conditions.samples
    ]
    known = [mask for mask in masks if mask][-FEWEST_SAMPLES:]
    if len(known) < FEWEST_SAMPLES:
        return None
    throttled = [any(mask & THROTTLE_REASONS for mask in each) for each in known]
    share = sum(throttled) / len(throttled)
    if share < THROTTLED_SHARE / conditions.easing(HealthCode.GPU_THROTTLED):
        return None
    values = {"share": share}
    degrees = [v for n, v in conditions.samples[-1].items() if _is(n, "sys.gpu_celsius")]
    if degrees:
        values["gpu_celsius"] = max(degrees)
    return Finding(
        code=HealthCode.GPU_THROTTLED,
        level="warning",
        step=trace.last_step,
        values=values,
        severity=share,
    )


def _judge_disk(trace: Trace, conditions: Conditions) -> Finding | None:
    known = [s["sys.disk_free_bytes"] for s in conditions.samples if "sys.disk_free_bytes" in s]
    if not known or known[-1] >= DISK_BYTES * conditions.easing(HealthCode.DISK_NEARLY_FULL):
        return None
    free = known[-1]
    return Finding(
        code=HealthCode.DISK_NEARLY_FULL,
        level="error" if free < DISK_ERROR_BYTES else "warning",
        step=trace.last_step,
        values={"free_bytes": free},
        severity=DISK_BYTES / max(free, 1.0),
    )


def _is(name: str, series: str) -> bool:
    """Return whether a series is the given one, for the first GPU or any other (`.1`, `.2`, …)."""
    return name == series or name.startswith(f"{series}.")
