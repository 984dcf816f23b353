"""The peers of benchmarks/engine.py; each is a separate program over the same windows."""
