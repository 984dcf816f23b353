"""The parts of benchmarks/chaos.py: the recorded history, its checker, the nemesis and the broken builds. The cluster that they attack is in tests/faults/."""
