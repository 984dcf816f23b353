"""The parts of benchmarks/chaos.py: the nemesis and the broken builds. The cluster that they attack, the recorded history and its checker are in tests/faults/harness/."""
