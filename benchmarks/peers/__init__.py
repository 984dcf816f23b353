"""The peers of benchmarks/engine/; each is a separate program that trains on the same windows."""
