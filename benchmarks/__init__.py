"""Benchmarks: each measures both sides of its comparison in one run; the last line of its output has the ratio. Figures are in docs/benchmarks.md."""

from benchmarks.extra import require_dev_extra

require_dev_extra()
