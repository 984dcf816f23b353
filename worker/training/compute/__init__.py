"""The hardware of a run: device, compiler, and 4-bit layers on a CPU. Nothing here knows about a model."""
