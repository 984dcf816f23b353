"""Benchmarks: each measures both sides in one run and prints a ratio in its last line. Figures are in docs/benchmarks.md."""

from benchmarks.extra import require_dev_extra

require_dev_extra()
