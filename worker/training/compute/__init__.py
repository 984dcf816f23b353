"""The hardware of a run: device, compiler, and 4-bit layers on a CPU. Nothing here depends on a model."""

from worker.training.compute.four_bit import import_bitsandbytes

import_bitsandbytes()  # before a module of this package, or transformers or peft, imports it
