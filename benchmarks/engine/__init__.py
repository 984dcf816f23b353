"""Compares Stepline's engine with plain transformers and TRL. The peers' own programs are in benchmarks/peers/."""
