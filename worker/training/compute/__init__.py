"""The hardware that a run computes on: device, compiler, and 4-bit layers on a CPU. Nothing here knows of a model."""
