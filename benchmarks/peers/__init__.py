"""The other sides of benchmarks/engine.py, each a program of its own over the same windows."""
