"""Benchmarks: both sides in one run, a ratio in the last line, figures in docs/benchmarks.md."""
