"""The cluster that the tests and benchmarks/chaos.py attack, the observations recorded about it, and their checker. It imports no benchmark."""
