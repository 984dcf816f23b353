"""The heap returns freed memory while the weights load."""

import json
import subprocess
import sys

_PROGRAM = """
import contextlib, json, sys
import torch
from worker.training.compute.device import choose_device
from worker.training.memory.heap import returning_freed_memory
from worker.training.memory.host import resident_bytes

BLOCK = 4 * 2**20

def load():
    # Free a large block first: from then on, glibc keeps blocks up to its size in the heap.
    large = torch.ones(5 * BLOCK // 4); del large
    converted, kept = [], []
    for _ in range(50):
        converted.append(torch.ones(BLOCK // 4))
        kept.append(torch.ones(2**14))  # above the block, so that the heap cannot shrink
    before = resident_bytes()
    converted.clear()
    returned = before - resident_bytes()
    return kept, returned

device = choose_device("float32", None, 0)
guard = returning_freed_memory(device) if sys.argv[1] == "guarded" else contextlib.nullcontext()
with guard:
    kept, returned = load()
block = torch.ones(BLOCK // 4)
before = resident_bytes()
del block
print(json.dumps([returned / (50 * BLOCK), (before - resident_bytes()) / BLOCK]))
"""


def test_freed_weights_leave_the_process_while_the_model_loads_and_freed_activations_stay_afterwards() -> (
    None
):
    loading, afterwards = _shares("guarded")
    without_guard, _ = _shares("plain")

    assert loading > 0.9
    assert without_guard < 0.1
    assert afterwards < 0.1


def _shares(argument: str) -> tuple[float, float]:
    """Return which share of the freed memory left the process, while loading and afterwards."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, argument], capture_output=True, text=True, check=True
    )
    loading, afterwards = json.loads(done.stdout)
    return loading, afterwards
