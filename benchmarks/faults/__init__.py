"""What benchmarks/chaos.py is made of: the history that is recorded, its checker, the nemesis and the broken builds."""
