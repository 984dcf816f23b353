"""Benchmarks: both sides in one run, a ratio in the last line, figures in docs/benchmarks.md."""

from benchmarks.extra import require_dev_extra

require_dev_extra()
