"""Benchmarks. Each measures both sides of a comparison in one run, and prints the ratio on the last line.

docs/benchmarks.md contains the results. The service must not import anything from here, and tests of behavior belong in tests/.
"""

from benchmarks.extra import require_dev_extra

require_dev_extra()
