"""The peers of benchmarks/engine.py; each is a separate program that trains on the same windows."""
